# The web page's packages, as web/package-lock.json has them: cmake -DNPM=… -DWEB=… -P web_packages.cmake
# No script of a package is run. The file that npm leaves last says how new they are; ./dev web goes by it too.
execute_process(COMMAND ${NPM} ci --ignore-scripts --no-audit --no-fund WORKING_DIRECTORY ${WEB}
                RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${said}\nnpm could not install the web page's packages (a network is needed for that once). All but the page is built without them: "
                      "VRAMD_WEB=OFF ./run, or -DVRAMD_WEB=OFF for cmake.")
endif()
file(TOUCH ${WEB}/node_modules/.package-lock.json)
