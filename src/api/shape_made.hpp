/// How `shape_of<T>()` makes its table, type by type. Included by shape.hpp only.
#pragma once
#include "api/shape.hpp"

namespace vramd::api {
namespace made {
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_map = false;
template <class T>
inline constexpr bool is_map<std::map<std::string, T>> = true;
template <class T>
inline constexpr bool is_fixed = false;
template <class Tag, u32 D, u64 M>
inline constexpr bool is_fixed<Fixed<Tag, D, M>> = true;

template <class T>
using MembersOf = boost::describe::describe_members<T, boost::describe::mod_public | boost::describe::mod_inherited>;

template <class T, class D>
consteval Member member(const Field& field) {
    using Type = std::remove_cvref_t<decltype(std::declval<T&>().*D::pointer)>;
    static_assert(std::is_default_constructible_v<Type>);
    if (field.member != std::string_view(D::name)) throw "a description's row stands beside another member";
    if (field.tells.empty()) throw "a member without a description";
    if (field.presence == Presence::always && is_optional<Type>) throw "an optional member must say optional or nullable";
    if (field.presence == Presence::nullable && !is_optional<Type>) throw "only an optional member can be null";
    return Member{field, wire_name(D::name), &shape_of<Type>,
                  [](void* object) -> void* { return &(static_cast<T*>(object)->*D::pointer); }};
}

template <class T, template <class...> class List, class... D>
consteval auto members_of(List<D...>) {
    static_assert(description<T>.fields.size() == sizeof...(D), "a description needs one row for each member");
    [[maybe_unused]] std::size_t row = 0;
    return std::array<Member, sizeof...(D)>{member<T, D>(description<T>.fields[row++])...};
}
template <class T>
inline constexpr auto members = members_of<T>(MembersOf<T>{});

template <class T>
constexpr u64 number(const void* value) {
    if constexpr (is_fixed<T>)
        return static_cast<const T*>(value)->units;
    else if constexpr (std::is_same_v<T, Time>)
        return static_cast<const T*>(value)->unix_ms;
    else
        return static_cast<u64>(*static_cast<const T*>(value));
}
template <class T>
constexpr void set_number(void* value, u64 number) {
    if constexpr (is_fixed<T>)
        static_cast<T*>(value)->units = number;
    else if constexpr (std::is_same_v<T, Time>)
        static_cast<T*>(value)->unix_ms = number;
    else
        *static_cast<T*>(value) = static_cast<T>(number);
}

template <class T>
consteval Shape numeric(Kind kind, u64 largest) {
    Shape shape;
    shape.kind = kind;
    shape.largest = largest;
    shape.number = &number<T>;
    shape.set_number = &set_number<T>;
    return shape;
}

template <class T>
consteval Shape optional_shape() {
    Shape shape;
    shape.kind = Kind::maybe;
    shape.inner = &shape_of<typename T::value_type>;
    shape.size = [](const void* value) -> std::size_t { return static_cast<const T*>(value)->has_value() ? 1 : 0; };
    shape.item = [](const void* value, std::size_t) -> const void* { return &**static_cast<const T*>(value); };
    shape.append = [](void* value) -> void* { return &static_cast<T*>(value)->emplace(); };
    return shape;
}

template <class T>
consteval Shape vector_shape() {
    Shape shape;
    shape.kind = Kind::list;
    shape.inner = &shape_of<typename T::value_type>;
    shape.size = [](const void* value) { return static_cast<const T*>(value)->size(); };
    shape.item = [](const void* value, std::size_t i) -> const void* { return &(*static_cast<const T*>(value))[i]; };
    shape.append = [](void* value) -> void* { return &static_cast<T*>(value)->emplace_back(); };
    return shape;
}

template <class T>
consteval Shape map_shape() {
    Shape shape;
    shape.kind = Kind::map;
    shape.inner = &shape_of<typename T::mapped_type>;
    shape.size = [](const void* value) { return static_cast<const T*>(value)->size(); };
    shape.item = [](const void* value, std::size_t i) -> const void* {
        return &std::next(static_cast<const T*>(value)->begin(), static_cast<std::ptrdiff_t>(i))->second;
    };
    shape.key = [](const void* value, std::size_t i) -> std::string_view {
        return std::next(static_cast<const T*>(value)->begin(), static_cast<std::ptrdiff_t>(i))->first;
    };
    shape.enter = [](void* value, std::string_view key) -> void* { return &(*static_cast<T*>(value))[std::string(key)]; };
    return shape;
}

template <class T>
consteval Shape shape() {
    if constexpr (std::is_same_v<T, bool>) {
        return numeric<T>(Kind::boolean, 1);
    } else if constexpr (std::is_enum_v<T>) {
        Shape shape = numeric<T>(Kind::choice, EnumNames<T>::names.size() - 1);
        shape.name = description<T>.name;
        shape.tells = description<T>.tells;
        shape.choices = EnumNames<T>::names;
        return shape;
    } else if constexpr (std::is_unsigned_v<T>) {
        return numeric<T>(Kind::integer, std::is_same_v<T, u64> ? ~u64{0} : static_cast<u64>(static_cast<T>(~T{0})));
    } else if constexpr (is_fixed<T>) {
        Shape shape = numeric<T>(Kind::decimal, T::units_max);
        shape.decimals = T::decimals;
        return shape;
    } else if constexpr (std::is_same_v<T, Time>) {
        return numeric<T>(Kind::time, unix_ms_max);
    } else if constexpr (std::is_same_v<T, std::string>) {
        Shape shape;
        shape.kind = Kind::text;
        return shape;
    } else if constexpr (is_optional<T>) {
        return optional_shape<T>();
    } else if constexpr (is_vector<T>) {
        return vector_shape<T>();
    } else if constexpr (is_map<T>) {
        return map_shape<T>();
    } else {
        Shape shape;
        shape.kind = Kind::object;
        shape.name = description<T>.name;
        shape.tells = description<T>.tells;
        shape.members = members<T>;
        shape.make = []() -> std::shared_ptr<void> { return std::make_shared<T>(); };
        return shape;
    }
}
}  // namespace made

template <class T>
const Shape& shape_of() {
    static constexpr Shape shape = made::shape<T>();
    return shape;
}
}  // namespace vramd::api
