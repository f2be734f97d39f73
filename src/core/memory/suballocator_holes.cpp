#include "core/memory/suballocator_holes.hpp"

#include <algorithm>

#include "base/invariant.hpp"
#include "core/memory/suballocator_lanes.hpp"

namespace vramd::memory {
using namespace lanes;

u32 HoleTree::Node::count() const { return first_lane(lanes_above(keys, 0xffff'fffe) | (all_lanes + 1)); }

Flipped HoleTree::Node::largest() const { return largest_lane(sizes); }

void HoleTree::Node::put(u32 position, Entry entry) {
    for (u32 i = width - 1; i > position; --i) {
        keys[i] = keys[i - 1];
        sizes[i] = sizes[i - 1];
        links[i] = links[i - 1];
    }
    keys[position] = flip(entry.offset);
    sizes[position] = flip(entry.size);
    links[position] = entry.behind;
}

void HoleTree::Node::remove(u32 position) {
    for (u32 i = position; i + 1 < width; ++i) {
        keys[i] = keys[i + 1];
        sizes[i] = sizes[i + 1];
        links[i] = links[i + 1];
    }
    keys[width - 1] = no_key;
    sizes[width - 1] = flip(0);
}

void HoleTree::Node::move_end_to(Node& right, u32 kept) {
    const u32 moved = count() - kept;
    const auto shift = [&](auto& from, auto& to) {
        std::copy_backward(to.begin(), to.end() - moved, to.end());
        std::copy_n(from.begin() + kept, moved, to.begin());
    };
    shift(keys, right.keys);
    shift(sizes, right.sizes);
    shift(links, right.links);
    std::fill(keys.begin() + kept, keys.end(), no_key);
    std::fill(sizes.begin() + kept, sizes.end(), flip(0));
}

void HoleTree::Node::move_start_to(Node& left, u32 moved) {
    const u32 held = left.count();
    const auto shift = [&](auto& from, auto& to) {
        std::copy_n(from.begin(), moved, to.begin() + held);
        std::copy(from.begin() + moved, from.end(), from.begin());
    };
    shift(keys, left.keys);
    shift(sizes, left.sizes);
    shift(links, left.links);
    std::fill(keys.end() - moved, keys.end(), no_key);
    std::fill(sizes.end() - moved, sizes.end(), flip(0));
}

u32 HoleTree::new_node() {
    const u32 node = free_nodes_ != none ? free_nodes_ : nodes_.add();
    if (node == free_nodes_) free_nodes_ = nodes_[node].links[0];
    nodes_[node] = Node();
    return node;
}

void HoleTree::release(u32 node) {
    nodes_[node].links[0] = free_nodes_;
    free_nodes_ = node;
}

void HoleTree::seek(u32 offset, Path& path) const {
    u32 node = root_;
    for (u32 level = 0; level < height_; ++level) {
        const Node& here = nodes_[node];
        const u32 behind = (lanes_above(here.keys, offset) & ~1U) | (all_lanes + 1);
        const u32 slot = first_lane(behind) - 1;
        path.nodes[level] = node;
        path.slots[level] = slot;
        node = here.links[slot];
    }
    path.nodes[height_] = node;
    path.slots[height_] = first_lane(lanes_above(nodes_[node].keys, offset) | (all_lanes + 1)) - 1;
}

void HoleTree::next(u32 offset, Path& path) const {
    const u32 slot = path.slots[height_] + 1;
    if (nodes_[path.nodes[height_]].has(slot))
        path.slots[height_] = slot;
    else
        seek(offset, path);  // It begins another leaf.
}

bool HoleTree::at_or_before(Path& path) const {
    if (path.slots[height_] != none) return true;
    u32 level = height_;  // All of this leaf lies behind: the hole sought ends the leaf before it.
    do {
        if (level-- == 0) return false;
    } while (path.slots[level] == 0);
    u32 node = nodes_[path.nodes[level]].links[--path.slots[level]];
    while (++level <= height_) {
        const u32 last = nodes_[node].count() - 1;
        path.nodes[level] = node;
        path.slots[level] = last;
        node = nodes_[node].links[last];
    }
    return true;
}

bool HoleTree::first_fit(u32 size, u32 alignment, Path& path) const {
    if (size > largest()) return false;
    u32 node = root_;
    for (u32 level = 0; level < height_; ++level) {
        const Node& here = nodes_[node];
        const auto slot = first_lane(lanes_above(here.sizes, size - 1));
        path.nodes[level] = node;
        path.slots[level] = slot;
        node = here.links[slot];
    }
    const Node& leaf = nodes_[node];
    const u32 candidates = lanes_above(leaf.sizes, size - 1);
    path.nodes[height_] = node;
    path.slots[height_] = first_lane(candidates);
    if (alignment == 1) return true;
    const u32 holding = lanes_holding(leaf.keys, leaf.sizes, candidates, size, alignment);
    path.slots[height_] = first_lane(holding);
    return holding != 0 || next_fit(size, alignment, path);
}

bool HoleTree::next_fit(u32 size, u32 alignment, Path& path) const {
    u32 level = height_;
    while (level-- > 0) {  // Up to the nearest node with a later child that has a large enough hole, then down its first such children.
        u32 later = lanes_above(nodes_[path.nodes[level]].sizes, size - 1) & (~1U << path.slots[level]);
        if (later == 0) continue;
        while (level < height_) {
            path.slots[level] = first_lane(later);
            const u32 node = nodes_[path.nodes[level]].links[path.slots[level]];
            path.nodes[++level] = node;
            later = lanes_above(nodes_[node].sizes, size - 1);
        }
        const Node& leaf = nodes_[path.nodes[height_]];
        const u32 holding = lanes_holding(leaf.keys, leaf.sizes, later, size, alignment);
        path.slots[height_] = first_lane(holding);
        if (holding != 0) return true;
    }
    return false;
}

void HoleTree::raise(const Path& path, u32 level, Flipped size) {
    while (level-- > 0) {
        Flipped& known = nodes_[path.nodes[level]].sizes[path.slots[level]];
        if (known >= size) return;
        known = size;
    }
    largest_ = std::max(largest_, size);
}

bool HoleTree::is_largest(const Path& path, u32 level, Flipped size) const {
    return size == (level == 0 ? largest_ : nodes_[path.nodes[level - 1]].sizes[path.slots[level - 1]]);
}

void HoleTree::lower(const Path& path, u32 level, Flipped was, Flipped now) {
    // The next largest is found before the entry is written: a vector load right behind a narrower store waits for it.
    for (;; --level) {
        Node& node = nodes_[path.nodes[level]];
        const bool was_largest = is_largest(path, level, was);
        const Flipped next = was_largest ? largest_without(node.sizes, was) : was;
        node.sizes[path.slots[level]] = now;
        now = std::max(now, next);
        if (!was_largest || now == was) return;
        if (level == 0) break;
    }
    largest_ = now;
}

void HoleTree::insert(const Path& path, Entry hole) {
    ++count_;
    Entry added = hole;
    for (u32 level = height_;; --level) {
        Node& node = nodes_[path.nodes[level]];
        const u32 position = path.slots[level] + 1;
        if (!node.full()) {
            node.put(position, added);
            raise(path, level, flip(hole.size));
            return;
        }
        if (level > 0 && spill(path, level, position, added)) {
            raise(path, level - 1, flip(hole.size));
            return;
        }
        const u32 right_node = new_node();
        Node& right = nodes_[right_node];
        node.move_end_to(right, width / 2);
        if (position <= width / 2)
            node.put(position, added);
        else
            right.put(position - width / 2, added);
        added = {unflip(right.keys[0]), unflip(right.largest()), right_node};
        if (level == 0) {
            grow_root(added);
            largest_ = std::max(largest_, flip(hole.size));
            return;
        }
        nodes_[path.nodes[level - 1]].sizes[path.slots[level - 1]] = node.largest();
    }
}

void HoleTree::grow_root(Entry right) {
    const u32 left = root_;
    INVARIANT(++height_ < height_end);
    root_ = new_node();
    nodes_[root_].put(0, {0, unflip(nodes_[left].largest()), left});
    nodes_[root_].put(1, right);
}

bool HoleTree::spill(const Path& path, u32 level, u32 position, Entry added) {
    Node& node = nodes_[path.nodes[level]];
    Node& parent = nodes_[path.nodes[level - 1]];
    const u32 slot = path.slots[level - 1];
    const bool leaves = level == height_;
    if (parent.has(slot + 1) && nodes_[parent.links[slot + 1]].has_room_for_two()) {
        Node& right = nodes_[parent.links[slot + 1]];
        if (!leaves) right.keys[0] = parent.keys[slot + 1];  // Asked from now on, so it needs the bound that its node had.
        const u32 kept = width - (width - right.count()) / 2;
        node.move_end_to(right, kept);
        if (position <= kept)
            node.put(position, added);
        else
            right.put(position - kept, added);
        parent.keys[slot + 1] = right.keys[0];
        parent.sizes[slot + 1] = right.largest();
    } else if (slot > 0 && nodes_[parent.links[slot - 1]].has_room_for_two()) {
        Node& left = nodes_[parent.links[slot - 1]];
        if (!leaves) node.keys[0] = parent.keys[slot];
        const u32 kept = left.count();
        const u32 moved = (width - kept) / 2;
        node.move_start_to(left, moved);
        if (position <= moved)
            left.put(kept + position, added);
        else
            node.put(position - moved, added);
        parent.keys[slot] = node.keys[0];
        parent.sizes[slot - 1] = left.largest();
    } else {
        return false;
    }
    parent.sizes[slot] = node.largest();
    return true;
}

void HoleTree::begin_earlier(const Path& path, u32 offset) {
    for (u32 level = height_; level-- > 0;) {
        const u32 slot = path.slots[level];
        Flipped& key = nodes_[path.nodes[level]].keys[slot];
        key = std::min(key, flip(offset));
        if (slot != 0) return;
    }
}

void HoleTree::end_later(const Path& path, u32 offset) {
    for (u32 level = height_; level-- > 0;) {
        const u32 slot = path.slots[level];
        Node& node = nodes_[path.nodes[level]];
        if (!node.has(slot + 1)) continue;
        node.keys[slot + 1] = std::max(node.keys[slot + 1], flip(offset + 1));
        return;
    }
}

void HoleTree::replace(const Path& path, Entry hole) {
    Node& leaf = nodes_[path.nodes[height_]];
    const u32 slot = path.slots[height_];
    const Flipped was_key = leaf.keys[slot];
    const Flipped was_size = leaf.sizes[slot];
    const Flipped key = flip(hole.offset);
    const Flipped size = flip(hole.size);
    leaf.keys[slot] = key;
    leaf.links[slot] = hole.behind;
    if (size < was_size) {
        lower(path, height_, was_size, size);
    } else {
        leaf.sizes[slot] = size;
        raise(path, height_, size);
    }
    if (key < was_key && slot == 0)
        begin_earlier(path, hole.offset);
    else if (key > was_key && !leaf.has(slot + 1))
        end_later(path, hole.offset);
}

void HoleTree::erase(Path& path) {
    Node& leaf = nodes_[path.nodes[height_]];
    const u32 slot = path.slots[height_];
    const Flipped was = leaf.sizes[slot];
    const Flipped next = is_largest(path, height_, was) ? largest_without(leaf.sizes, was) : was;
    leaf.remove(slot);
    --count_;
    if (next != was) {
        if (height_ == 0)
            largest_ = next;
        else
            lower(path, height_ - 1, was, next);
    }
    if (!leaf.has(joined_below - 1)) mend(path);
}

void HoleTree::swallow_next(Path& path, u32 next_offset, u32 size) {
    Node& leaf = nodes_[path.nodes[height_]];
    const u32 slot = path.slots[height_];
    if (leaf.has(slot + 1)) {
        leaf.remove(slot + 1);
        leaf.sizes[slot] = flip(size);
        --count_;
        raise(path, height_, flip(size));
        if (!leaf.has(joined_below - 1)) mend(path);
        return;
    }
    const Entry hole = entry(path);  // The next one begins another leaf: its removal may move this one.
    seek(next_offset, path);
    erase(path);
    seek(hole.offset, path);
    replace(path, {hole.offset, size, hole.behind});
}

void HoleTree::mend(const Path& path) {
    for (u32 level = height_; level > 0; --level) {
        const u32 node = path.nodes[level];
        if (nodes_[node].has(joined_below - 1)) return;
        Node& parent = nodes_[path.nodes[level - 1]];
        const u32 slot = path.slots[level - 1];
        if (!nodes_[node].has(0)) {
            parent.remove(slot);
            release(node);
        } else if (parent.has(slot + 1)) {
            if (!join(parent, slot, level == height_)) return;
        } else if (slot > 0) {
            if (!join(parent, slot - 1, level == height_)) return;
        }
    }
    while (height_ > 0 && !nodes_[root_].has(1)) {
        if (!nodes_[root_].has(0)) {
            height_ = 0;  // The last hole is gone: the empty root serves as the leaf.
            return;
        }
        const u32 child = nodes_[root_].links[0];
        release(root_);
        root_ = child;
        --height_;
    }
}

bool HoleTree::join(Node& parent, u32 left_slot, bool leaves) {
    const u32 right_node = parent.links[left_slot + 1];
    Node& left = nodes_[parent.links[left_slot]];
    Node& right = nodes_[right_node];
    const u32 moved = right.count();
    if (left.count() + moved > joined_max) return false;
    if (!leaves) right.keys[0] = parent.keys[left_slot + 1];  // Now asked, so it needs the bound that its node had.
    right.move_start_to(left, moved);
    parent.sizes[left_slot] = std::max(parent.sizes[left_slot], parent.sizes[left_slot + 1]);
    parent.remove(left_slot + 1);
    release(right_node);
    return true;
}

bool HoleTree::consistent() const {
    u32 seen = 0;
    Flipped largest = flip(0);
    return consistent_below(root_, 0, 0, u64{1} << 32, seen, largest) && seen == count_ && largest == largest_;
}

bool HoleTree::consistent_below(u32 node, u32 level, u64 low, u64 high, u32& seen, Flipped& largest) const {
    const Node& here = nodes_[node];
    const u32 used = here.count();
    if (used == 0 && (level > 0 || height_ > 0)) return false;
    for (u32 i = 0; i < width; ++i) {
        if (i >= used) {
            if (here.keys[i] != no_key || here.sizes[i] != flip(0)) return false;
            continue;
        }
        const bool leaf = level == height_;
        const u64 from = i == 0 && !leaf ? low : u64{unflip(here.keys[i])};
        const u64 to = i + 1 < used ? u64{unflip(here.keys[i + 1])} : high;
        if (from < low || from >= to || to > high || here.sizes[i] == flip(0)) return false;
        Flipped below = leaf ? here.sizes[i] : flip(0);
        if (!leaf && !consistent_below(here.links[i], level + 1, from, to, seen, below)) return false;
        if (below != here.sizes[i]) return false;
        largest = std::max(largest, below);
        if (leaf) ++seen;
    }
    return true;
}
}  // namespace vramd::memory
