# The four programs. Each links what its main needs and no more: the keeper has no JSON, the core has no parser.
function(vramd_program name source)
  if(EXISTS ${CMAKE_SOURCE_DIR}/src/program/${source})
    add_executable(${name} ${CMAKE_SOURCE_DIR}/src/program/${source})
    target_link_libraries(${name} PRIVATE ${ARGN})
  endif()
endfunction()

vramd_program(vramd vramd.cpp room_keeper)
vramd_program(vramd-worker worker.cpp room_loader)
vramd_program(vramd-core core.cpp room_attach room_api room_device_host room_device_cuda room_device_d3d12)
if(TARGET vramd-core)
  target_sources(vramd-core PRIVATE ${CMAKE_SOURCE_DIR}/src/program/settings.cpp ${CMAKE_SOURCE_DIR}/src/program/command_words.cpp ${CMAKE_SOURCE_DIR}/src/program/preload.cpp ${CMAKE_SOURCE_DIR}/src/program/missing.cpp ${CMAKE_SOURCE_DIR}/src/program/devices.cpp ${CMAKE_SOURCE_DIR}/src/program/known_gpus.cpp
                 ${CMAKE_SOURCE_DIR}/src/program/primer.cpp)
  include(web)
  target_sources(vramd-core PRIVATE ${VRAMD_WEB_FILES})
  target_compile_definitions(vramd-core PRIVATE VRAMD_VERSION="${PROJECT_VERSION}")
endif()
vramd_program(vramctl ctl.cpp room_cli)

# The version, for the one file of vramctl that says it.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/cli/version.cpp PROPERTIES COMPILE_DEFINITIONS VRAMD_VERSION="${PROJECT_VERSION}")

# ncurses' names are everybody's (move, clear, filter), so the one file that includes it is compiled by itself.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/cli/top_screen.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)

# The worker room's tests start real loading processes: the program lies beside them.
if(TARGET worker_test AND TARGET vramd-worker)
  add_dependencies(worker_test vramd-worker)
endif()
