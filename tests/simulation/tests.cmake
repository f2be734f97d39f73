# The deterministic simulation. VRAMD_SEED (the commit in CI) chooses the histories.
add_executable(simulation ${CMAKE_SOURCE_DIR}/tests/simulation/simulation.cpp ${CMAKE_SOURCE_DIR}/tests/simulation/clients.cpp
                          ${CMAKE_SOURCE_DIR}/tests/simulation/clients_models.cpp
                          ${CMAKE_SOURCE_DIR}/tests/simulation/world.cpp)
target_include_directories(simulation PRIVATE ${CMAKE_SOURCE_DIR}/tests/simulation)
target_link_libraries(simulation PRIVATE room_engine room_device_sim)
target_compile_options(simulation PRIVATE -Wno-pedantic)  # Case ranges.
add_test(NAME simulation COMMAND simulation --runs 40 --steps 2500)
set_tests_properties(simulation PROPERTIES TIMEOUT 600)
