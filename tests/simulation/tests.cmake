# The deterministic simulation. VRAMD_SEED (the commit in CI) chooses the histories.
file(GLOB simulation_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/simulation/*.cpp)
add_executable(simulation ${simulation_sources})
target_include_directories(simulation PRIVATE ${CMAKE_SOURCE_DIR}/tests/simulation)
target_link_libraries(simulation PRIVATE room_engine room_device_sim)
if(VRAMD_TESTS)
  add_test(NAME simulation COMMAND simulation --runs 40 --steps 2500)
  set_tests_properties(simulation PROPERTIES TIMEOUT 600)
endif()
