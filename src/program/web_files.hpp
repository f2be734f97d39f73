/// The web page's files in this program: made by cmake/web.cmake of what npm built, or none (no_web_files.cpp, with -DVRAMD_WEB=OFF).
#pragma once
#include <span>

#include "api/page.hpp"

namespace vramd::program {
/// All files, "/" among them; empty where the page was left out. Constant data, valid for ever.
[[nodiscard]] std::span<const api::PageFile> web_files();
}  // namespace vramd::program
