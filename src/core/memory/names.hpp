/// Texts that many rows share (owners, purposes), each kept once and only as long as a row uses it.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/invariant.hpp"

namespace vramd::memory {
/// Index ⇄ text, counted. The lowest free index is used first, so that equal histories give equal indexes. Not synchronised.
class Names {
public:
    /// The text's index, with one more use.
    u32 take(std::string_view text) {
        if (const auto found = indexes_.find(text); found != indexes_.end()) {
            ++uses_[found->second];
            return found->second;
        }
        u32 index = 0;
        if (free_.empty()) {
            index = static_cast<u32>(texts_.size());
            texts_.emplace_back(text);
            uses_.push_back(1);
        } else {
            index = free_.begin()->first;
            free_.erase(free_.begin());
            texts_[index] = text;
            uses_[index] = 1;
        }
        indexes_.emplace(std::string(text), index);
        return index;
    }
    /// One use less; the last one frees the index.
    void drop(u32 index) {
        INVARIANT(index < uses_.size() && uses_[index] > 0);
        if (--uses_[index] > 0) return;
        indexes_.erase(texts_[index]);
        texts_[index].clear();
        free_.emplace(index, 0);
    }
    [[nodiscard]] const std::string& text(u32 index) const {
        INVARIANT(index < uses_.size() && uses_[index] > 0);
        return texts_[index];
    }

private:
    std::vector<std::string> texts_;
    std::vector<u64> uses_;
    std::map<std::string, u32, std::less<>> indexes_;
    std::map<u32, u8> free_;
};
}  // namespace vramd::memory
