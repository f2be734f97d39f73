# The double of the NVIDIA driver: a library that tests name by its path; no program links it and no release builds it.
add_library(cuda_double MODULE ${CMAKE_SOURCE_DIR}/tests/fake_cuda/driver.cpp ${CMAKE_SOURCE_DIR}/tests/fake_cuda/clients.cpp ${CMAKE_SOURCE_DIR}/tests/fake_cuda/management.cpp ${CMAKE_SOURCE_DIR}/tests/fake_cuda/world.cpp)
target_include_directories(cuda_double PRIVATE ${CMAKE_SOURCE_DIR}/tests)
set_target_properties(cuda_double PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/double OUTPUT_NAME cuda-double)
if(TARGET device_cuda_test)
  add_dependencies(device_cuda_test cuda_double)
  target_compile_definitions(device_cuda_test PRIVATE VRAMD_CUDA_DOUBLE="$<TARGET_FILE:cuda_double>")
endif()
# Plain whatever the build: it is loaded into Python too, which has no sanitizer's run time.
target_compile_options(cuda_double PRIVATE -fno-sanitize=all)
target_link_options(cuda_double PRIVATE -fno-sanitize=all)
