// Between the public types (include/canopy) and the codecs' (wire/).
#pragma once

#include "canopy/message.h"
#include "client/session.h"
#include "wire/request.h"

namespace canopy {

wire::Request to_wire(const client::Request& request);

// Returns the answer, or the error in the public form. `where` names the endpoints in messages.
client::Result<client::Answer> from_wire(Session::Done done, const std::string& where);

client::Error from_base(const Error& error);

}  // namespace canopy
