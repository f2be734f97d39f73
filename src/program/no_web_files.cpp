#include "program/web_files.hpp"

namespace vramd::program {
std::span<const api::PageFile> web_files() { return {}; }
}  // namespace vramd::program
