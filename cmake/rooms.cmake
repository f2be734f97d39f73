# One static library and one test program per room, from src/rooms.txt.

# What a name in the third column of rooms.txt stands for.
set(VRAMD_LIBRARY_threads Threads::Threads)
set(VRAMD_LIBRARY_xxhash "")                     # header only
set(VRAMD_LIBRARY_json boost_json)
set(VRAMD_LIBRARY_beast "boost_system;Threads::Threads")
set(VRAMD_LIBRARY_seccomp seccomp)
set(VRAMD_LIBRARY_cli11 "")                      # header only
set(VRAMD_LIBRARY_toml "")                       # header only
set(VRAMD_LIBRARY_spdlog "spdlog;fmt")
set(VRAMD_LIBRARY_prometheus prometheus-cpp-core)
set(VRAMD_LIBRARY_vkd3d vkd3d_headers) #  opened at run time
set(VRAMD_LIBRARY_zlib z)
set(VRAMD_LIBRARY_ncurses "ncursesw;tinfo")

# Its headers include each other by their bare names.
find_path(VKD3D_INCLUDE vkd3d.h PATH_SUFFIXES vkd3d REQUIRED)
add_library(vkd3d_headers INTERFACE)
target_include_directories(vkd3d_headers SYSTEM INTERFACE ${VKD3D_INCLUDE})

if(VRAMD_TESTS)
  add_library(doctest_main OBJECT ${CMAKE_SOURCE_DIR}/tests/doctest_main.cpp)
endif()

function(vramd_rooms table)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${table})
  file(STRINGS ${table} lines REGEX "^[a-z]")
  foreach(line ${lines})
    string(REGEX MATCH "^([a-z0-9/_]+) *:([^|]*)\\|?(.*)$" matched "${line}")
    vramd_room("${CMAKE_MATCH_1}" "${CMAKE_MATCH_2}" "${CMAKE_MATCH_3}")
  endforeach()
endfunction()

# A room named `device/host` becomes the library `room_device_host` and the test `device_host_test`.
function(vramd_room room rooms libraries)
  if(room STREQUAL "program")
    return()  # The mains: cmake/programs.cmake.
  endif()
  string(REPLACE "/" "_" name ${room})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${room}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  string(REGEX MATCHALL "[a-z0-9/_]+" rooms "${rooms}")
  string(REGEX MATCHALL "[a-z0-9_]+" libraries "${libraries}")
  set(links "")
  foreach(below ${rooms})
    string(REPLACE "/" "_" below ${below})
    list(APPEND links room_${below})
  endforeach()
  foreach(library ${libraries})
    list(APPEND links ${VRAMD_LIBRARY_${library}})
  endforeach()
  if(sources)
    add_library(room_${name} STATIC ${sources})
    target_include_directories(room_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(room_${name} PUBLIC ${links})
  else()
    add_library(room_${name} INTERFACE)
    target_include_directories(room_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(room_${name} INTERFACE ${links})
  endif()
  set(reads_bytes base terms formats ledger ipc device transfer worker loader)
  if(NOT room IN_LIST reads_bytes AND sources)
    target_compile_options(room_${name} PRIVATE ${VRAMD_SANITIZE_LESS})
  endif()
  if(VRAMD_TESTS AND tests)
    add_executable(${name}_test ${tests} $<TARGET_OBJECTS:doctest_main>)
    target_link_libraries(${name}_test PRIVATE room_${name})
    target_compile_options(${name}_test PRIVATE ${VRAMD_SANITIZE_LESS})
    set_property(GLOBAL APPEND PROPERTY VRAMD_ROOM_TESTS ${name}_test)
  endif()
endfunction()
