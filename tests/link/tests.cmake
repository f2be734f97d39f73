# What a program must not contain: the keeper is base and keeper, nothing that parses, logs or drives.
if(TARGET vramd)
  add_test(NAME link_keeper COMMAND ${CMAKE_SOURCE_DIR}/tests/link/symbols.sh $<TARGET_FILE:vramd> "boost::|vramd::(terms|core|formats|ledger|ipc|http|device|transfer|worker|loader|engine|api|cli)::|spdlog|fmt::v|CLI::|toml::")
endif()
if(TARGET vramd-core)
  add_test(NAME link_core COMMAND ${CMAKE_SOURCE_DIR}/tests/link/symbols.sh $<TARGET_FILE:vramd-core> "vramd::formats::")
endif()
