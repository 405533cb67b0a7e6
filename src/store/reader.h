// What a step may see of the store: everything that earlier steps wrote, also in this batch.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/types.h"
#include "store/deliveries.h"

namespace canopy::store {

class Reader {
 public:
  // Returns true to go on, false to stop. The views are valid during the call only.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;

  virtual ~Reader() = default;

  // Returns the value under `key`, or nothing. (A copy: an overlay may move under a view.)
  virtual std::optional<std::string> get(std::string_view key) const = 0;

  // Visits keys in [from, to), ascending / descending. `visit` must not write to the store.
  virtual void scan(std::string_view from, std::string_view to, const Visit& visit) const = 0;
  virtual void scan_back(std::string_view from, std::string_view to, const Visit& visit) const = 0;

  // Returns the body, or null when this shard has none under that id and hash.
  virtual Blob body(BodyRef ref) const = 0;

  // Returns the row at that position, or nothing.
  virtual std::optional<DeliveryRow> delivery(BucketId bucket, Position position) const = 0;
  // Visits the rows of a bucket in [from, to), ascending / descending, the dead ones too, until `visit`
  // returns false. `visit` must not write to the store.
  virtual void deliveries(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const = 0;
  virtual void deliveries_back(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const = 0;
  // Returns where a leaf stands: its row under `applied`, or what was delivered, whichever is further; zero when
  // that row was erased.
  virtual LeafTail leaf_tail(BucketId bucket, LeafNo leaf) const = 0;

  // Returns the highest position that `bucket` has written; zero before the first.
  virtual Position position(BucketId bucket) const = 0;
};

}  // namespace canopy::store
