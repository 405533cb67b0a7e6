// How a record points at a body: id be64, hash be32. Never to change.
#pragma once

#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/types.h"

namespace canopy::store {

inline void put_ref(std::string& out, BodyRef ref) {
  put_be64(out, ref.id.packed());
  put_be32(out, ref.hash);
}

inline BodyRef take_ref(Cursor& in) {
  BodyRef ref;
  ref.id = MessageId(in.be64());
  ref.hash = in.be32();
  return ref;
}

// A record that is only a reference: those of `sent` and of the stream list.
inline std::string encode_ref(BodyRef ref) {
  std::string value;
  put_ref(value, ref);
  return value;
}
inline BodyRef decode_ref(std::string_view value) {
  Cursor in(value);
  const BodyRef ref = take_ref(in);
  ASSERT(in.done());
  return ref;
}

}  // namespace canopy::store
