/// vramd-worker: one loading process. The core starts it with a socket as descriptor 3; it serves one job and ends.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "ipc/frame.hpp"
#include "loader/serve.hpp"

namespace {
constexpr int socket_descriptor = 3;
}

int main() {
    if (fcntl(socket_descriptor, F_GETFD) < 0) {
        (void)std::fputs("vramd-worker is started by vramd-core, with a socket as descriptor 3; it does nothing by itself.\n", stderr);
        return 2;
    }
    const int code = vramd::loader::serve(vramd::ipc::Channel(vramd::Fd(socket_descriptor)));
    _exit(code);  // No destructors, no leak check: all calls they could make are forbidden by now.
}
