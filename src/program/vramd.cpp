/// `vramd`: for `serve` the keeper; every other verb is the core program's.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "keeper/file_places.hpp"
#include "keeper/keeper.hpp"
#include "keeper/log.hpp"

using namespace vramd;

namespace {
/// Whether the keeper has to stay: `serve`, and no mere question about it.
bool wants_keeper(std::span<char* const> arguments) {
    if (arguments.size() < 2 || std::string_view(arguments[1]) != "serve") return false;
    for (const std::string_view argument : arguments.subspan(2))
        if (argument == "--help" || argument == "-h") return false;
    return true;
}

int pass_on(const std::string& core_program, char** arguments) {
    std::string program = core_program;
    arguments[0] = program.data();
    execv(core_program.c_str(), arguments);
    keeper::log(core_program + ": " + describe(system_error("execv", errno)));
    return keeper::exit_failed;
}
}  // namespace

int main(int argument_count, char** argument_list) {
    const std::span<char* const> arguments(argument_list, static_cast<std::size_t>(argument_count));
    std::error_code error;
    const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error || argument_count < 1) {
        keeper::log("/proc/self/exe cannot be read: " + error.message());
        return keeper::exit_failed;
    }
    if (argument_count == 2 && arguments[1] == keeper::takeover_question) return keeper::takeover_answer;
    const std::string core_program = own.parent_path() / "vramd-core";
    if (!wants_keeper(arguments)) return pass_on(core_program, argument_list);

    const auto environment = [](const char* name) { return std::getenv(name); };
    std::vector<keeper::Stored> stored = keeper::take_given(environment);
    auto places = keeper::find_places(core_program, arguments.subspan(2), environment);
    if (!places) {
        keeper::log(describe(places.error()));
        return keeper::exit_refused;
    }
    return keeper::run({*std::move(places), core_program, own.native(), arguments}, std::move(stored));
}
