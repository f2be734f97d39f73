# The crash test on this build's programs: a short run here, 200 kills of the release in ./test, 10,000 by ./dev crash.
add_test(NAME crash COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/crash/crash.py --kills 25)
set_tests_properties(crash PROPERTIES TIMEOUT 300 ENVIRONMENT "VRAMD_BIN=$<TARGET_FILE_DIR:vramd>")
add_test(NAME crash_test COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/crash/crash_test.py)
set_tests_properties(crash_test PROPERTIES TIMEOUT 120 ENVIRONMENT "VRAMD_BIN=$<TARGET_FILE_DIR:vramd>")
add_test(NAME crash_steps COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/crash/steps.py)
set_tests_properties(crash_steps PROPERTIES TIMEOUT 600 ENVIRONMENT "VRAMD_BIN=$<TARGET_FILE_DIR:vramd>")
