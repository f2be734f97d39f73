# The four programs. Each links what its main needs and no more: the keeper has no JSON, the core has no parser.
function(vramd_program name source)
  if(EXISTS ${CMAKE_SOURCE_DIR}/src/program/${source})
    add_executable(${name} ${CMAKE_SOURCE_DIR}/src/program/${source})
    target_link_libraries(${name} PRIVATE ${ARGN})
  endif()
endfunction()

vramd_program(vramd vramd.cpp room_keeper)
vramd_program(vramd-worker worker.cpp room_loader)
vramd_program(vramd-core core.cpp room_attach room_api room_device_host)
if(TARGET vramd-core)
  target_sources(vramd-core PRIVATE ${CMAKE_SOURCE_DIR}/src/program/settings.cpp ${CMAKE_SOURCE_DIR}/src/program/preload.cpp)
  target_compile_definitions(vramd-core PRIVATE VRAMD_VERSION="${PROJECT_VERSION}")
endif()
vramd_program(vramctl ctl.cpp room_cli)

# The version, for the one file of vramctl that says it.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/cli/version.cpp PROPERTIES COMPILE_DEFINITIONS VRAMD_VERSION="${PROJECT_VERSION}")

# The worker room's tests start real loading processes: the program lies beside them.
if(TARGET worker_test AND TARGET vramd-worker)
  add_dependencies(worker_test vramd-worker)
endif()
