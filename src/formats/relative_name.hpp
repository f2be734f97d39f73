/// Names of further files, as a model file gives them: the one place where a stranger could point at somebody else's file.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vramd::formats {
/// `name` as a relative path that stays beneath its folder, in one spelling ("./a//b" becomes "a/b").
/// Errors: `invalid_model` at `place` for an absolute path, `..`, a backslash, a control character, an empty or too long name, or one that
/// is not valid UTF-8. Links are the opener's business.
[[nodiscard]] Result<std::string> relative_name(std::string_view place, std::string_view name);

/// The further files of a model, each once; index 0 stands for the main file.
class FileNames {
public:
    /// The index of `name`, which is added if it is new. Errors: as `relative_name`; `invalid_model` beyond `files_max`.
    [[nodiscard]] Result<u32> index_of(std::string_view place, std::string_view name);
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

private:
    std::vector<std::string> names_;
    std::map<std::string, u32> indices_;
};
}  // namespace vramd::formats
