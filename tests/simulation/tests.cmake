# The deterministic simulation. VRAMD_SEED (the commit in CI) chooses the histories.
add_executable(simulation ${CMAKE_SOURCE_DIR}/tests/simulation/simulation.cpp ${CMAKE_SOURCE_DIR}/tests/simulation/clients.cpp
                          ${CMAKE_SOURCE_DIR}/tests/simulation/clients_models.cpp
                          ${CMAKE_SOURCE_DIR}/tests/simulation/world.cpp)
target_include_directories(simulation PRIVATE ${CMAKE_SOURCE_DIR}/tests/simulation)
target_link_libraries(simulation PRIVATE room_engine room_device_sim)
target_compile_options(simulation PRIVATE -Wno-pedantic)  # Case ranges.
add_test(NAME simulation COMMAND simulation --runs 40 --steps 2500)
set_tests_properties(simulation PROPERTIES TIMEOUT 600)

# Defragmentations and optimizes under the same world.
add_executable(upkeep_simulation ${CMAKE_SOURCE_DIR}/tests/simulation/upkeep.cpp ${CMAKE_SOURCE_DIR}/tests/simulation/world.cpp)
target_include_directories(upkeep_simulation PRIVATE ${CMAKE_SOURCE_DIR}/tests/simulation)
target_link_libraries(upkeep_simulation PRIVATE room_engine room_device_sim)
target_compile_options(upkeep_simulation PRIVATE -Wno-pedantic)  # Case ranges.
add_test(NAME upkeep_simulation COMMAND upkeep_simulation --runs 30 --steps 2500)
set_tests_properties(upkeep_simulation PROPERTIES TIMEOUT 600)
