# The oracle against the formats room: every tensor of every sample, in every format.
add_executable(plan_dump ${CMAKE_SOURCE_DIR}/tests/oracle/plan_dump.cpp)
target_link_libraries(plan_dump PRIVATE room_formats)
add_test(NAME oracle_formats COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/oracle/check_formats.py $<TARGET_FILE:plan_dump>)
set_tests_properties(oracle_formats PROPERTIES TIMEOUT 300)
