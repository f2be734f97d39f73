# Whole daemons of this build, each test_*.py a CTest. Those that load models need the samples (./dev samples fetches them).
file(GLOB e2e_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/e2e/test_*.py)
foreach(path ${e2e_tests})
  get_filename_component(name ${path} NAME_WE)
  string(REPLACE "test_" "e2e_" name ${name})
  # The Python package is tested with the distribution's Python, whose NumPy it can have.
  if(name MATCHES "^e2e_python" AND EXISTS /usr/bin/python3)
    add_test(NAME ${name} COMMAND /usr/bin/python3 ${path})
  else()
    add_test(NAME ${name} COMMAND python3 ${path})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "VRAMD_BIN=$<TARGET_FILE_DIR:vramd>;VRAMD_PROVOKED=${CMAKE_BINARY_DIR}/provoked")
  list(APPEND e2e_names ${name})
endforeach()
# Looks at what all the others have shown, so it comes last.
list(REMOVE_ITEM e2e_names e2e_problems)
set_tests_properties(e2e_problems PROPERTIES DEPENDS "${e2e_names}")
