/// Rows in the order of their keys, in leaves: a few bytes beside each row, where a tree's node costs 56.
///
/// Keys are serials: a new row's is larger than all before it, so rows come at the end only and may leave anywhere. A leaf is a sorted
/// array with room for `leaf_rows`, all of one size, so that malloc puts a new one exactly where an old one was. The last one is filled
/// whole. Where rows leave, four neighbours that fit into three become three: leaves are about three quarters full at worst, at a price of
/// at most three rows moved for each one that ever came, for a leaf that goes took `leaf_rows` of them to come. Copies of a table share the
/// leaves until one of them changes a row of it.
///
/// Invariants
///  - Leaves are never empty, and each is filed under a key above all those of the leaf before and at most that of its own first row.
///  - Only the last one gets new rows.
#pragma once
#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <vector>

#include "base/invariant.hpp"
#include "base/shared_part.hpp"
#include "base/types.hpp"

namespace vramd::memory {
/// `Row` is copyable and says its key as `u64 key() const`. Row addresses hold until the next change, which a look-up through a table that
/// is not constant counts as. Copied in O(leaves); not synchronised, but a copy may be another thread's.
template <class Row, std::size_t leaf_rows = 32>
class RowTable {
    static_assert(leaf_rows >= 8);
    using Leaf = std::vector<Row>;
    using Leaves = std::map<u64, SharedPart<Leaf>>;
    /// So many neighbours become one less.
    static constexpr std::size_t joined_leaves = 4;
    /// Neighbours are looked at each time that so many rows left a leaf: to look costs more than to erase.
    static constexpr std::size_t look_rows = leaf_rows / 8;

public:
    /// What an iterator yields, named as a map's pair is.
    struct Entry {
        u64 first;
        const Row& second;
    };
    class Iterator {
    public:
        using iterator_category = std::bidirectional_iterator_tag;
        using value_type = Entry;
        using difference_type = std::ptrdiff_t;
        using reference = Entry;
        struct pointer {
            Entry entry;
            const Entry* operator->() const { return &entry; }
        };

        Iterator() = default;
        Entry operator*() const {
            const Row& row = (*leaf_->second)[at_];
            return {row.key(), row};
        }
        pointer operator->() const { return {**this}; }
        Iterator& operator++() {
            if (++at_ == leaf_->second->size()) {
                ++leaf_;
                at_ = 0;
            }
            return *this;
        }
        Iterator operator++(int) {
            const Iterator was = *this;
            ++*this;
            return was;
        }
        Iterator& operator--() {
            if (at_ == 0) at_ = (--leaf_)->second->size();
            --at_;
            return *this;
        }
        Iterator operator--(int) {
            const Iterator was = *this;
            --*this;
            return was;
        }
        bool operator==(const Iterator&) const = default;

    private:
        friend class RowTable;
        using Place = typename Leaves::const_iterator;
        Iterator(Place leaf, std::size_t at) : leaf_(leaf), at_(at) {}
        Place leaf_;
        std::size_t at_ = 0;
    };
    using ReverseIterator = std::reverse_iterator<Iterator>;

    [[nodiscard]] Iterator begin() const { return {leaves_.begin(), 0}; }
    [[nodiscard]] Iterator end() const { return {leaves_.end(), 0}; }
    [[nodiscard]] ReverseIterator rbegin() const { return ReverseIterator(end()); }
    [[nodiscard]] ReverseIterator rend() const { return ReverseIterator(begin()); }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }

    /// The first row whose key is not below `key`. O(log n).
    [[nodiscard]] Iterator lower_bound(u64 key) const {
        const auto leaf = leaf_for(leaves_, key);
        if (leaf == leaves_.end()) return begin();
        const std::size_t at = place_in(*leaf->second, key);
        return at < leaf->second->size() ? Iterator(leaf, at) : Iterator(std::next(leaf), 0);
    }
    /// Null if there is none. O(log n).
    [[nodiscard]] const Row* find(u64 key) const {
        const auto leaf = leaf_for(leaves_, key);
        if (leaf == leaves_.end()) return nullptr;
        const std::size_t at = place_in(*leaf->second, key);
        return at < leaf->second->size() && (*leaf->second)[at].key() == key ? &(*leaf->second)[at] : nullptr;
    }
    /// The same, to be changed.
    [[nodiscard]] Row* find(u64 key) {
        const auto leaf = leaf_for(leaves_, key);
        if (leaf == leaves_.end()) return nullptr;
        const std::size_t at = place_in(*leaf->second, key);
        return at < leaf->second->size() && (*leaf->second)[at].key() == key ? &leaf->second.own()[at] : nullptr;
    }
    [[nodiscard]] bool contains(u64 key) const { return find(key) != nullptr; }

    /// Adds a row, whose key is above all others'. O(1), and a leaf now and then.
    void append(Row row) {
        const u64 key = row.key();
        if (leaves_.empty() || leaves_.rbegin()->second->size() >= leaf_rows) {
            INVARIANT(leaves_.empty() || key > leaves_.rbegin()->second->back().key());
            Leaf leaf;
            leaf.reserve(leaf_rows);
            leaf.push_back(std::move(row));
            leaves_.emplace_hint(leaves_.end(), key, SharedPart<Leaf>::made_of(std::move(leaf)));
        } else {
            Leaf& last = leaves_.rbegin()->second.own();
            INVARIANT(key > last.back().key());
            last.reserve(leaf_rows);  // A copied leaf has no more room than rows.
            last.push_back(std::move(row));
        }
        ++size_;
    }
    /// Takes a row out; INVARIANT if it is not there. O(log n), and the rows behind it in its leaf moved.
    void erase(u64 key) {
        const auto leaf = leaf_for(leaves_, key);
        INVARIANT(leaf != leaves_.end());
        Leaf& rows = leaf->second.own();
        const std::size_t at = place_in(rows, key);
        INVARIANT(at < rows.size() && rows[at].key() == key);
        rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(at));
        --size_;
        mend(leaf);
    }

    /// Recomputes the invariants of the leaves: true if all hold. O(n).
    [[nodiscard]] bool consistent() const {
        std::size_t rows = 0;
        u64 before = 0;
        bool first = true;
        for (auto leaf = leaves_.begin(); leaf != leaves_.end(); ++leaf) {
            if (leaf->second->empty() || leaf->second->size() > leaf_rows || leaf->first > leaf->second->front().key()) return false;
            if (!first && leaf->first <= before) return false;
            for (const Row& row : *leaf->second) {
                if (!first && row.key() <= before) return false;
                before = row.key();
                first = false;
            }
            rows += leaf->second->size();
        }
        return rows == size_;
    }
    /// Rows that the leaves have room for.
    [[nodiscard]] std::size_t capacity() const {
        std::size_t rows = 0;
        for (const auto& [key, leaf] : leaves_) rows += leaf->capacity();
        return rows;
    }

private:
    /// The leaf that the key would lie in; the end where it is below all. Serves both kinds of constness.
    template <class Map>
    static auto leaf_for(Map& leaves, u64 key) -> decltype(leaves.begin()) {
        const auto behind = leaves.upper_bound(key);
        return behind == leaves.begin() ? leaves.end() : std::prev(behind);
    }
    /// The first position of a sorted leaf whose key is not below `key`. Keys in a row, as they mostly are, need no search.
    static std::size_t place_in(const Leaf& rows, u64 key) {
        const u64 first = rows.front().key();
        if (key <= first) return 0;
        const u64 guess = key - first;  // Keys rise by one at least, so the place is not behind this.
        if (guess < rows.size() && rows[guess].key() == key) return guess;
        std::size_t low = 0;
        std::size_t high = guess < rows.size() ? static_cast<std::size_t>(guess) : rows.size();
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (rows[middle].key() < key)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
    /// A row left this leaf: drops it if that was its last, or joins it with its neighbours.
    void mend(typename Leaves::iterator leaf) {
        if (leaf->second->empty()) {
            leaves_.erase(leaf);
            return;
        }
        if (leaf->second->size() % look_rows != 0) return;
        auto first = leaf;
        for (std::size_t i = 0; i < joined_leaves / 2 && first != leaves_.begin(); ++i) --first;
        auto end = first;
        std::size_t leaves = 0;
        std::size_t rows = 0;
        for (; leaves < joined_leaves && end != leaves_.end(); ++leaves, ++end) rows += end->second->size();
        if (rows <= (leaves - 1) * leaf_rows) join(first, end);
    }
    /// Fills the first of these leaves with the rows of all, and drops those that this leaves empty.
    void join(typename Leaves::iterator first, typename Leaves::iterator end) {
        Leaf all;
        std::vector<typename Leaves::node_type> nodes;  // Taken out first: filed anew, one could come to lie behind the next.
        while (first != end) {
            nodes.push_back(leaves_.extract(first++));
            Leaf& rows = nodes.back().mapped().own();
            std::move(rows.begin(), rows.end(), std::back_inserter(all));
        }
        auto from = all.begin();
        for (auto node = nodes.begin(); from != all.end(); ++node) {
            const auto to = from + std::min<std::ptrdiff_t>(leaf_rows, all.end() - from);
            Leaf& rows = node->mapped().own();
            rows.reserve(leaf_rows);
            rows.assign(std::move_iterator(from), std::move_iterator(to));
            node->key() = rows.front().key();
            leaves_.insert(end, std::move(*node));
            from = to;
        }
    }

    Leaves leaves_;
    std::size_t size_ = 0;
};
}  // namespace vramd::memory
