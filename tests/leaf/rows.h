// The rows of one bucket, as what happens to its leaves and homes leaves them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "leaf/chains.h"
#include "leaf/deferred.h"
#include "leaf/home.h"
#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/places.h"
#include "store/refs.h"
#include "store/store.h"

namespace canopy::leaf {

constexpr BucketId here(3);
constexpr EntityNo bob(5), carol(6);
constexpr size_t all = 1'000;

class Rows {
 public:
  Rows() { store = std::move(store::Store::open(backend_, {}).value()); }
  // Each row in a step of its own: it has the next position.
  Position deliver(uint32_t leaf, uint64_t id, bool shared) {
    return step([&](Position at, store::Writes& writes) {
      writes.deliver(at, {LeafNo(leaf), StreamNo(at.packed()), ref(id), store->leaf_tail(here, LeafNo(leaf)).newest, shared}, make_blob("m"));
      if (shared) store::put_place(here, MessageId(id), store::PlaceKind::delivery, leaf, at.packed(), writes);
    });
  }
  Position address(EntityNo to, uint64_t id) {
    return step([&](Position at, store::Writes& writes) {
      writes.put(store::KeyBuilder(here, store::Table::direct).add(to).add(at), store::encode_ref(ref(id)));
      writes.ref(ref(id), make_blob("m"));
      store::put_place(here, MessageId(id), store::PlaceKind::direct, to.value(), at.packed(), writes);
    });
  }
  // Earlier messages stand below the follow, newest first below it.
  Position follow(EntityNo who, uint32_t leaf, const std::vector<uint64_t>& earlier = {}) {
    for (size_t i = 0; i < earlier.size(); ++i) position = position.next();
    return step([&](Position at, store::Writes& writes) {
      writes.put(store::KeyBuilder(here, store::Table::edge).add(who).add(LeafNo(leaf)), leaf::encode_edge({at, static_cast<uint32_t>(earlier.size())}));
      for (size_t i = 0; i < earlier.size(); ++i) {
        const Position back(at.packed() - 1 - i);
        writes.put(store::KeyBuilder(here, store::Table::backfill).add(who).add(LeafNo(leaf)).add(back), store::encode_ref(ref(earlier[i])));
        writes.ref(ref(earlier[i]), make_blob("m"));
        store::put_place(here, MessageId(earlier[i]), store::PlaceKind::backfill, who.value(), back.packed(), writes, leaf);
      }
    });
  }
  void unfollow(EntityNo who, uint32_t leaf) {
    step([&](Position, store::Writes& writes) {
      writes.erase(store::KeyBuilder(here, store::Table::edge).add(who).add(LeafNo(leaf)));
    });  // what came with it is shown no more; it is erased later
    step([&](Position, store::Writes& writes) { leaf::erase_backfill(here, who, LeafNo(leaf), SIZE_MAX, *store, writes); });
  }
  void retire(uint32_t leaf) {
    step([&](Position, store::Writes& writes) {
      std::string newest;
      put_be64(newest, store->leaf_tail(here, LeafNo(leaf)).newest.packed());
      writes.put(store::KeyBuilder(here, store::Table::retired).add(LeafNo(leaf)), newest);
    });
  }
  template <class Work>
  Position step(const Work& work) {
    store::Writes writes;
    position = position.next();
    work(position, writes);
    store->apply(here, position, writes);
    return position;
  }
  // "id@position …", oldest first, a backfilled one in brackets.
  std::string home(EntityNo who, size_t capacity = all) const {
    std::string out;
    for (const HomeEntry& entry : leaf::read_home(here, who, capacity, *store).entries) {
      const std::string one = std::to_string(entry.ref.id.packed()) + "@" + std::to_string(entry.position.number());
      out += entry.backfilled ? "(" + one + ") " : one + " ";
    }
    return out;
  }
  static BodyRef ref(uint64_t id) { return {MessageId(id), 7}; }

  std::unique_ptr<store::Store> store;
  Position position{1, 0};
  Deferred deferred{here};

 private:
  store::MemBackend backend_;
};

}  // namespace canopy::leaf
