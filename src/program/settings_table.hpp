/// Every setting but `[[preload]]`, by all its names: what the command line, the file, the environment, --help, the manual and the file
/// that the package installs are made from.
#pragma once
#include <cstddef>

namespace vramd::program {
/// A list-valued or text setting on its way through the four sources.
struct Setting {
    const char* key;  ///< In the file.
    const char* flag;
    const char* variable;  ///< Lists in variables are separated by ':' (folders) or ' ' (devices).
    char separator;        ///< 0: one text.
    const char* help;
};
/// In the order of `Row`.
inline constexpr Setting settings_table[] = {
    {"listen", "--listen", "VRAMD_LISTEN", 0, "ADDRESS:PORT for HTTP, or none (127.0.0.1:7070)"},
    {"socket", "--socket", "VRAMD_SOCKET", 0, "path of the attach socket; HTTP is served on vramd-http.sock beside it"},
    {"state_dir", "--state-dir", "VRAMD_STATE_DIR", 0, "folder of the ledger"},
    {"device", "--device", "VRAMD_DEVICE", ' ',
     "a device: host[:NAME][=SIZE], cuda[:INDEX][=SIZE], d3d12[:INDEX][=SIZE], auto; repeat it for several (SIZE: 512MiB, 4GiB, 80%)"},
    {"model_dir", "--model-dir", "VRAMD_MODEL_DIR", ':', "a folder that models may be loaded from; repeat it for several"},
    {"token_file", "--token-file", "VRAMD_TOKEN_FILE", 0, "lines `token owner role` for requests with a bearer token"},
    {"ram_cache", "--ram-cache", "VRAMD_RAM_CACHE", 0,
     "what models may hold of the first host device that are loaded nowhere (80%); 0: no cache"},
    {"eviction", "--eviction", "VRAMD_EVICTION", 0, "which models go first when room is wanted: fifo, lru or smart (fifo)"},
    {"watermarks", "--watermarks", "VRAMD_WATERMARKS", 0,
     "HIGH,LOW: a load that takes a device beyond HIGH % lets models go down to LOW % (80,70); 100,100: only for need"},
    {"relief", "--relief", "VRAMD_RELIEF", 0,
     "at which pressure of the machine or the control group cached copies go, models idle for 10 minutes too, and any unused one "
     "(75,90,95); 100,100,100: never"},
    {"zombie_grace", "--zombie-grace", "VRAMD_ZOMBIE_GRACE", 0,
     "SECONDS (1 to 86400) after which a process is ended (SIGKILL) that still has memory which was freed by force, or never (never)"},
    {"gpu_patience", "--gpu-patience", "VRAMD_GPU_PATIENCE", 0,
     "SECONDS (1 to 3600) that a GPU's driver may not answer until another core is started to have the GPU again (30)"},
};
enum Row : std::size_t {
    row_listen,
    row_socket,
    row_state_dir,
    row_device,
    row_model_dir,
    row_token_file,
    row_ram_cache,
    row_eviction,
    row_watermarks,
    row_relief,
    row_zombie_grace,
    row_gpu_patience
};
}  // namespace vramd::program
