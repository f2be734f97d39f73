# The web page: built by npm from web/, put into vramd-core as one object. -DVRAMD_WEB=OFF builds without Node; "/" then says so.
option(VRAMD_WEB "Build the web page into vramd-core (needs node and npm)" ON)

if(NOT VRAMD_WEB)
  set(VRAMD_WEB_FILES ${CMAKE_SOURCE_DIR}/src/program/no_web_files.cpp)
  return()
endif()
find_program(NPM npm)
find_program(NODE NAMES node nodejs)
if(NOT NPM OR NOT NODE)
  message(FATAL_ERROR "The web page is built by node and npm, which are not here. Install them (./dev install), or build without the page: VRAMD_WEB=OFF ./run, or -DVRAMD_WEB=OFF for cmake")
endif()

set(web ${CMAKE_SOURCE_DIR}/web)
set(made ${CMAKE_BINARY_DIR}/web)
file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${web}/src/* ${web}/public/* ${web}/scripts/*)
# npm leaves this file last; all build folders share what it installed. Scripts of packages are never run.
set(web_installed ${web}/node_modules/.package-lock.json)
add_custom_command(OUTPUT ${web_installed}
  COMMAND ${CMAKE_COMMAND} -DNPM=${NPM} -DWEB=${web} -P ${CMAKE_SOURCE_DIR}/cmake/web_packages.cmake
  DEPENDS ${web}/package-lock.json ${web}/package.json
  COMMENT "Installing the web page's packages" VERBATIM)
set(VRAMD_WEB_FILES ${made}/web_files.S ${made}/web_files.cpp)
add_custom_command(OUTPUT ${VRAMD_WEB_FILES}
  COMMAND ${NODE} node_modules/vite/bin/vite.js build --logLevel warn --emptyOutDir --outDir ${made}/dist
  COMMAND ${NODE} scripts/budget.mjs ${made}/dist
  COMMAND ${NODE} scripts/embed.mjs ${made}/dist ${made}
  WORKING_DIRECTORY ${web}
  DEPENDS ${web_installed} ${web_sources} ${web}/index.html ${web}/docs.html ${web}/vite.config.ts ${web}/svelte.config.js ${web}/tsconfig.json
  COMMENT "Building the web page" VERBATIM)
