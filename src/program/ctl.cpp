/// vramctl: the command line to the daemon. Everything is in src/cli.
#include "cli/run.hpp"

int main(int argc, char** argv) { return vramd::cli::run(argc, argv); }
