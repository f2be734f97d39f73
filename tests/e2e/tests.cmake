# Whole daemons of this build, each test file a CTest. test_models needs the samples (./dev samples fetches them).
foreach(test memory life models bad_input)
  add_test(NAME e2e_${test} COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/e2e/test_${test}.py)
  set_tests_properties(e2e_${test} PROPERTIES TIMEOUT 600 ENVIRONMENT "VRAMD_BIN=$<TARGET_FILE_DIR:vramd>")
endforeach()
