// The mark in a node's directory that says: the stores may hold commits that are not on the disk. It stands,
// durable itself, from before the first such commit until after the sync of a stop in good order; found
// at a start, it tells of an unclean stop.
//
//   unsynced     durability = interval        the mode that wrote it
//                boot = <the kernel's id of this boot of the machine, or nothing: unknown>
//
// While the machine has not restarted, what a process had committed is in the kernel's cache and on its way
// to the disk, whatever ended the process; then the mark says no more than that a sync is due. In any
// other case, a damaged mark too, the stores are not trusted.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace canopy::daemon {

struct Unsynced {
  std::string durability;  // for people
  std::string boot;        // "": never to be trusted
};

// Of the running kernel, 32 hexadecimal digits. In a service that does not see all of /proc the unit has to
// pass it on, as CANOPY_BOOT_ID; "" when nobody tells.
std::string boot_id();

// Whether stores under this mark can be taken as they are, on a machine that has this id of a boot.
inline bool can_be_trusted(const Unsynced& mark, const std::string& boot) { return !boot.empty() && mark.boot == boot; }

// Returns the mark in the directory, or nothing when there is none. One that cannot be understood has no boot.
[[nodiscard]] Result<std::optional<Unsynced>> read_unsynced(const std::string& directory);
// Each is durable when it returns OK.
[[nodiscard]] Result<void> write_unsynced(const std::string& directory, const Unsynced& mark);
[[nodiscard]] Result<void> remove_unsynced(const std::string& directory);

// After a failed sync: makes the mark one that is never trusted. The process ends anyway, and on a disk
// that takes nothing any more this cannot be made sure either.
void distrust(const std::string& directory);

}  // namespace canopy::daemon
