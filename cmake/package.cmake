# The manual, the shells' completions and the Debian package: `ninja manual`, `cpack` (./dev package does both).
find_package(Python3 REQUIRED COMPONENTS Interpreter)

set(VRAMD_MANUAL_DIR ${CMAKE_BINARY_DIR}/manual)
set(manual_files "")
foreach(page vramd.8 vramctl.1 vramd.toml.5 vramd-attach.7 vramd.toml)
  if(EXISTS ${CMAKE_SOURCE_DIR}/packaging/manual/${page}.md)
    set(frame ${CMAKE_SOURCE_DIR}/packaging/manual/${page}.md)
  else()
    set(frame "")
  endif()
  add_custom_command(OUTPUT ${VRAMD_MANUAL_DIR}/${page}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${VRAMD_MANUAL_DIR}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/packaging/manual/manual.py ${page} $<TARGET_FILE_DIR:vramd> > ${VRAMD_MANUAL_DIR}/${page}
    DEPENDS vramd vramd-core vramctl ${frame} ${CMAKE_SOURCE_DIR}/packaging/manual/manual.py ${CMAKE_SOURCE_DIR}/docs/operations.md ${CMAKE_SOURCE_DIR}/docs/attach-protocol.md
    COMMENT "Writing ${page}" VERBATIM)
  list(APPEND manual_files ${VRAMD_MANUAL_DIR}/${page})
endforeach()
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${VRAMD_MANUAL_DIR}/${shell}
    COMMAND vramctl completion ${shell} > ${VRAMD_MANUAL_DIR}/${shell}
    DEPENDS vramctl ${VRAMD_MANUAL_DIR}/vramd.8
    COMMENT "Writing the completion for ${shell}" VERBATIM)
  list(APPEND manual_files ${VRAMD_MANUAL_DIR}/${shell})
endforeach()

# compressed FILE NAME: as Debian wants manuals and changelogs, without a date in it.
function(vramd_compressed file name)
  add_custom_command(OUTPUT ${VRAMD_MANUAL_DIR}/gz/${name}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${VRAMD_MANUAL_DIR}/gz
    COMMAND gzip -9nc ${file} > ${VRAMD_MANUAL_DIR}/gz/${name}
    DEPENDS ${file} VERBATIM)
endfunction()
string(TIMESTAMP VRAMD_PACKAGE_DATE "%Y-%m-%d" UTC)
execute_process(COMMAND git log -1 --format=%cD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE commit_date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commit_date)
  set(VRAMD_PACKAGE_DATE ${commit_date})
else()
  string(TIMESTAMP VRAMD_PACKAGE_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
endif()
configure_file(${CMAKE_SOURCE_DIR}/packaging/debian/changelog.in ${CMAKE_BINARY_DIR}/changelog @ONLY)
vramd_compressed(${CMAKE_BINARY_DIR}/changelog changelog.Debian.gz)
vramd_compressed(${CMAKE_SOURCE_DIR}/CHANGELOG.md changelog.gz)
set(compressed_files ${VRAMD_MANUAL_DIR}/gz/changelog.Debian.gz ${VRAMD_MANUAL_DIR}/gz/changelog.gz)
foreach(page vramd.8 vramctl.1 vramd.toml.5 vramd-attach.7)
  vramd_compressed(${VRAMD_MANUAL_DIR}/${page} ${page}.gz)
  list(APPEND compressed_files ${VRAMD_MANUAL_DIR}/gz/${page}.gz)
  string(REGEX MATCH "[0-9]$" number ${page})
  install(FILES ${VRAMD_MANUAL_DIR}/gz/${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${number} COMPONENT daemon)
endforeach()
add_custom_target(manual DEPENDS ${manual_files} ${compressed_files})

# What the daemon's programs find beside them must lie beside them; `vramd` in the path is a link to the keeper.
install(TARGETS vramd vramd-core vramd-worker RUNTIME DESTINATION lib/vramd COMPONENT daemon)
install(TARGETS vramctl RUNTIME DESTINATION bin COMPONENT daemon)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/link)
file(CREATE_LINK ../lib/vramd/vramd ${CMAKE_BINARY_DIR}/link/vramd SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/link/vramd DESTINATION bin COMPONENT daemon)
install(FILES ${VRAMD_MANUAL_DIR}/bash DESTINATION share/bash-completion/completions RENAME vramctl COMPONENT daemon)
install(FILES ${VRAMD_MANUAL_DIR}/zsh DESTINATION share/zsh/vendor-completions RENAME _vramctl COMPONENT daemon)
install(FILES ${VRAMD_MANUAL_DIR}/fish DESTINATION share/fish/vendor_completions.d RENAME vramctl.fish COMPONENT daemon)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/debian/copyright ${VRAMD_MANUAL_DIR}/gz/changelog.Debian.gz ${VRAMD_MANUAL_DIR}/gz/changelog.gz
        DESTINATION share/doc/vramd COMPONENT daemon)
install(FILES ${VRAMD_MANUAL_DIR}/vramd.toml DESTINATION /etc/vramd COMPONENT daemon)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/vramd.service DESTINATION /lib/systemd/system COMPONENT daemon)
# For whoever watches it: what Prometheus and Grafana take as it is (docs/runbook.md).
file(GLOB watching ${CMAKE_SOURCE_DIR}/packaging/prometheus/*.yml)
install(FILES ${watching} DESTINATION share/vramd/prometheus COMPONENT daemon)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/grafana/vramd.json DESTINATION share/vramd/grafana COMPONENT daemon)
# The Python package, for Debian's Python; postinst compiles it where there is one.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/python/vramd DESTINATION lib/python3/dist-packages COMPONENT daemon FILES_MATCHING PATTERN "*.py" PATTERN "py.typed" PATTERN "__pycache__" EXCLUDE)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME vramd)
set(CPACK_PACKAGE_CONTACT "vramd <vramd@example.org>")
set(CPACK_COMPONENTS_ALL daemon)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_OUTPUT_FILE_PREFIX ${CMAKE_BINARY_DIR}/package)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_DAEMON_PACKAGE_NAME vramd)
set(CPACK_DEBIAN_DAEMON_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "nvidia-modprobe, libcuda1, libvkd3d1, libvulkan1, mesa-vulkan-drivers, python3, prometheus")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_COMPONENT_DAEMON_DESCRIPTION "owner of a machine's memory for models
vramd is a daemon that owns a machine's system and GPU memory for models:
programs ask it for memory by handle, and it loads ONNX, safetensors and GGUF
models into that memory, once for all who use them. Its memory outlives its
own crashes and its upgrades.")
foreach(script postinst prerm postrm conffiles)
  list(APPEND CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packaging/debian/${script})
endforeach()
include(CPack)
