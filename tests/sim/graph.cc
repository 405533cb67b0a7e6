// Of the workload: the message graph. It draws from a stream of its own, so that a seed without these
// features does what it always did.
#include <algorithm>

#include "sim/trace.h"
#include "sim/workload.h"

namespace canopy::sim {

void Workload::first_graph() {
  const Features& f = scenario_.features;
  if (f.lists)
    for (Entity follower = 0; follower < model_.people(); ++follower)
      if (graph_random_.chance(50)) follow(follower, any_topic());
  if (f.forward)  // a loop
    for (Entity team = 0; team < 3; ++team) forward(team, (team + 1) % 3, false);
}

void Workload::next_graph() {
  if (!running_ || !scenario_.features.any()) return;
  const uint64_t mean = 1'000'000 / scenario_.graph_operations_per_second;
  schedule_.after(Duration{static_cast<int64_t>(graph_random_.below(2 * mean))}, [this] {
    if (running_) graph_operation();
    next_graph();
  });
}

void Workload::graph_operation() {
  struct Choice {
    bool can;
    uint32_t weight;
    std::function<void()> act;
  };
  const Features& f = scenario_.features;
  const auto recent = [&] { return recent_[recent_.size() - 1 - graph_random_.below(std::min<size_t>(recent_.size(), 60))]; };
  const bool published = !recent_.empty();
  const std::vector<Choice> choices = {
      {f.lists, 20, [&] { publish(graph_random_.chance(50) ? any_author() : any_team(), graph_random_.chance(30)); }},
      {f.lists, 20, [&] { read_list(); }},
      {f.lists, 8, [&] { follow_topic(); }},
      {f.retract, 12, [&] { publish_and_retract(); }},
      {f.retract && published, 12, [&] { retract(recent(), 3); }},
      {f.retract && published, 2, [&] { retract_anothers(); }},
      {f.thread && published, 8, [&] { thread(); }},
      {f.mark, 12, [&] { mark(); }},
      {f.backfill, 14, [&] { follow_with_backfill(); }},
      {f.retention, 6, [&] { retain(); }},
      {f.forward, 8, [&] { forward(graph_random_.chance(70) ? any_team() : any_entity(), any_team(), graph_random_.chance(40)); }},
      {f.forward && f.lists, 2, [&] { forward(any_topic(), any_team(), graph_random_.chance(40)); }},
      {f.alias, 8, [&] { claim_alias(); }},
      {f.alias, 1, [&] { claim_used_name(); }},
      {f.erase, 2, [&] { erase(graph_random_.chance(80) ? any_entity() : any_topic(), 4); }},
  };
  uint64_t all = 0;
  for (const Choice& choice : choices) all += choice.can ? choice.weight : 0;
  if (all == 0) return;
  uint64_t drawn = graph_random_.below(all);
  for (const Choice& choice : choices) {
    if (!choice.can) continue;
    if (drawn < choice.weight) return choice.act();
    drawn -= choice.weight;
  }
}

// ---- names

Entity Workload::any_topic() { return model_.people() + static_cast<Entity>(graph_random_.below(model_.entities() - model_.people())); }

// Few are named often: their lists grow.
Entity Workload::any_listed() {
  return static_cast<Entity>(graph_random_.chance(40) ? graph_random_.below(4) : graph_random_.below(model_.people()));
}

std::string Workload::name_of(Entity entity) {
  if (!scenario_.features.alias || !graph_random_.chance(25)) return model_.name(entity);
  for (const AliasName& alias : model_.aliases())
    if (alias.granted && alias.entity == entity) {
      ++graph_counters_.by_alias;
      return alias.name;
    }
  return model_.name(entity);
}

std::vector<Named> Workload::some_names(uint64_t most, bool topics) {
  std::vector<Named> names;
  for (uint64_t i = 1 + graph_random_.below(most); i > 0; --i) {
    Named named;
    named.entity = !topics ? any_listed() : graph_random_.chance(85) ? any_topic() : static_cast<Entity>(graph_random_.below(model_.people() / 7) * 7 + 3);
    named.name = name_of(named.entity);
    if (topics && named.name[0] != '#') named.name = model_.name(named.entity);
    const bool twice = std::any_of(names.begin(), names.end(), [&](const Named& n) { return n.name == named.name; });
    if (!twice) names.push_back(std::move(named));
  }
  return names;
}

void Workload::dress(size_t publish) {
  if (!scenario_.features.lists) return;
  Publish& p = model_.dress(publish);
  if (graph_random_.chance(35)) p.mentions = some_names(3, false);
  if (graph_random_.chance(35)) p.topics = some_names(2, true);
  if (graph_random_.chance(12)) p.to = some_names(2, false);
  if (graph_random_.chance(25) && !recent_.empty())
    p.parent = recent_[recent_.size() - 1 - graph_random_.below(std::min<size_t>(recent_.size(), 12))];
}

wire::Message Workload::message_of(size_t publish) {
  const Publish& p = model_.publish(publish);
  wire::Message message;
  message.author = name_of(p.author);
  message.type = p.body.size() % 3 == 0 ? "note" : "";
  message.body = p.body;
  message.key = p.key;
  if (p.parent != nothing) message.reply_to = model_.publish(p.parent).id;
  for (const Named& n : p.mentions) message.mentions.push_back(n.name);
  for (const Named& n : p.topics)  // `x` and `#x` are one topic
    message.topics.push_back(graph_random_.chance(30) && n.name.size() > 1 ? n.name.substr(1) : n.name);
  for (const Named& n : p.to) message.to.push_back(n.name);
  return message;
}

// ---- RETRACT

// At once, through another node: it overtakes what it takes back.
void Workload::publish_and_retract() {
  const size_t number = model_.new_publish(any_author(), false);
  dress(number);
  try_publish(number, 1, [this, number] { retract(number, 3); });
}

void Workload::retract(size_t publish, int tries_left) {
  const Publish& p = model_.publish(publish);
  model_.begin_retract(publish, schedule_.now());
  clients_.note("retract", publish, p.author);
  clients_.ask(any_machine(), wire::Retract{name_of(p.author), p.id},
               [this, publish, tries_left, sent = schedule_.now()](const Outcome& outcome) {
    const auto* error = std::get_if<Error>(&outcome.reply);
    const bool not_found = error && error->code == Code::not_found;
    clients_.note("retract ended", publish, static_cast<uint64_t>(outcome.ended), not_found);
    model_.end_retract(publish, outcome.ended, not_found, sent, schedule_.now());
    graph_counters_.retracted += outcome.ended == Ended::done;
    const bool again = outcome.ended == Ended::done ? graph_random_.chance(10) : !not_found;
    if (!again || tries_left <= 1 || !running_) return;
    schedule_.after(Duration{static_cast<int64_t>(graph_random_.below(300'000))}, [this, publish, tries_left] {
      if (running_) retract(publish, tries_left - 1);
    });
  });
}

void Workload::retract_anothers() {
  const Publish& p = model_.publish(recent_[graph_random_.below(recent_.size())]);
  const Entity other = any_entity();
  if (other == p.author) return;
  clients_.ask(any_machine(), wire::Retract{model_.name(other), p.id}, [this, &p](const Outcome& outcome) {
    if (outcome.ended == Ended::done) throw Violation("only its author retracts a message", p.body);
    const auto* error = std::get_if<Error>(&outcome.reply);
    graph_counters_.refused_to_others += error && error->code == Code::denied;
  }, {Code::denied});
}

// ---- lists, threads, markers

void Workload::read_list() {
  const uint64_t kind = graph_random_.below(3);
  const auto timeline = kind == 0 ? wire::Timeline::mentions : kind == 1 ? wire::Timeline::replies : wire::Timeline::topic;
  read(timeline == wire::Timeline::topic ? any_topic() : any_listed(), timeline, graph_random_);
}

void Workload::thread() {
  const size_t number = recent_[graph_random_.below(recent_.size())];
  wire::Thread request;
  request.id = model_.publish(number).id;
  request.limit = 1 + static_cast<uint32_t>(graph_random_.below(30));
  ++graph_counters_.threads;
  clients_.ask(any_machine(), request, [this, number, sent = schedule_.now()](const Outcome& outcome) {
    const Publish& p = model_.publish(number);
    if (const auto* error = std::get_if<Error>(&outcome.reply)) {
      if (error->code == Code::not_found) checker_.check_got(p, nullptr, sent);
      return;
    }
    const auto& result = std::get<wire::ThreadResult>(outcome.reply);
    checker_.check_got(p, &result.message, sent);
    if (result.parent && checker_.check_entry(*result.parent, "THREAD").publish->number != p.parent)
      throw Violation("a thread has its parent", p.body);
    for (const wire::Entry& reply : result.replies)
      if (checker_.check_entry(reply, "THREAD").publish->parent != number) throw Violation("a thread has its replies", p.body);
  });
}

void Workload::mark() {
  const uint64_t kind = graph_random_.below(10);
  const auto timeline = kind < 6 ? wire::Timeline::home : kind < 7 ? wire::Timeline::sent : kind < 9 ? wire::Timeline::mentions : wire::Timeline::topic;
  const Entity entity = timeline == wire::Timeline::topic ? any_topic() : any_listed();
  const std::string consumer = graph_random_.chance(50) ? "" : "c" + std::to_string(graph_random_.below(2));
  wire::Read request;
  request.entities.push_back(name_of(entity));
  request.timeline = timeline;
  request.limit = 1 + static_cast<uint32_t>(graph_random_.below(20));
  clients_.ask(any_machine(), request, [this, entity, timeline, consumer](const Outcome& outcome) {
    const auto* result = std::get_if<wire::ReadResult>(&outcome.reply);
    const auto* page = result ? std::get_if<wire::TimelinePage>(&result->pages.at(0)) : nullptr;
    if (!page || page->entries.empty() || !running_) return;
    wire::Mark mark;
    mark.entity = name_of(entity);
    mark.timeline = timeline;
    mark.consumer = consumer;
    mark.position = page->entries[graph_random_.below(page->entries.size())].position;
    const Model::MarkerKey key{entity, timeline, consumer};
    model_.begin_mark(key);
    clients_.ask(any_machine(), mark, [this, key, position = mark.position](const Outcome& marked) {
      model_.end_mark(key, marked.ended, position);
      graph_counters_.marked += marked.ended == Ended::done;
    });
  });
}

// ---- FOLLOW

void Workload::follow_topic() {
  const Entity follower = any_entity(), topic = any_topic();
  if (std::as_const(model_).pair(follower, topic).state == Pair::State::yes && graph_random_.chance(70)) return unfollow(follower, topic);
  follow(follower, topic);
}

void Workload::follow_with_backfill() {
  std::pair<Entity, Entity> pair;
  for (int tries = 0; tries < 20; ++tries) {
    pair = {any_entity(), graph_random_.chance(15) && scenario_.features.lists ? any_topic() : any_author()};
    if (std::as_const(model_).pair(pair.first, pair.second).state == Pair::State::no) break;
  }
  ++graph_counters_.backfilled;
  follow(pair.first, pair.second, nullptr, true, 1 + static_cast<uint32_t>(graph_random_.below(graph_random_.chance(80) ? 12 : 60)));
}

// ---- RETAIN

void Workload::retain() {
  const uint64_t kind = graph_random_.below(10);
  wire::Retain request;
  request.timeline = kind < 3 ? wire::Timeline::mentions : kind < 5 ? wire::Timeline::replies : kind < 8 ? wire::Timeline::topic : wire::Timeline::sent;
  const Entity entity = request.timeline == wire::Timeline::topic ? any_topic() : any_listed();
  if (graph_random_.chance(75)) request.count = graph_random_.chance(80) ? 1 + graph_random_.below(30) : 0;
  if (!request.count || graph_random_.chance(20)) request.age_s = graph_random_.chance(70) ? 1 + graph_random_.below(25) : 0;
  request.entity = name_of(entity);
  model_.begin_retain(request, entity);
  clients_.note("retain", entity, request.count.value_or(UINT64_MAX), request.age_s.value_or(UINT64_MAX));
  clients_.ask(any_machine(), request, [this, request, entity](const Outcome& outcome) {
    Retention told;
    if (const auto* result = std::get_if<wire::RetainResult>(&outcome.reply)) told = {result->count, result->age_s};
    graph_counters_.retained += outcome.ended == Ended::done;
    model_.end_retain(request, entity, outcome.ended, told);
  });
}

// ---- FORWARD

void Workload::forward(Entity from, Entity to, bool off) {
  if (from == to) return;
  const Pair& now = model_.forward(from, to);
  if (!(off ? model_.may_unfollow(now, schedule_.now()) : model_.may_follow(now, schedule_.now()))) return;
  wire::Forwarding request{off ? model_.name(from) : name_of(from), name_of(to), off};
  model_.begin_forward(from, to, off, request.from != model_.name(from));
  clients_.note(off ? "forward off" : "forward", from, to);
  clients_.ask(any_machine(), request, [this, from, to, off, sent = schedule_.now()](const Outcome& outcome) {
    const auto* result = std::get_if<wire::ForwardingResult>(&outcome.reply);
    if (result && result->off != off) throw Violation("FORWARD says what holds now", model_.name(from) + " to " + model_.name(to));
    const bool active = result && result->state == wire::FollowState::active;
    clients_.note(active ? "forward ended active" : "forward ended", from, to, static_cast<uint64_t>(outcome.ended));
    graph_counters_.forwards += outcome.ended == Ended::done;
    model_.end_forward(from, to, off, outcome.ended, active, sent, schedule_.now());
  });
}

// ---- ALIAS

void Workload::claim_alias() {
  const size_t alias = graph_random_.below(model_.aliases().size());
  const AliasName& a = model_.aliases()[alias];
  // Mostly the one who has it repeats himself; now and then another wants it, or two race for it.
  const Entity one = a.granted && graph_random_.chance(60) ? a.entity : any_listed();
  try_alias(alias, one, 4);
  if (graph_random_.chance(40)) try_alias(alias, any_listed(), 4);
}

void Workload::try_alias(size_t alias, Entity entity, int tries_left) {
  if (!model_.deletions(entity).empty()) return;
  wire::Alias request{name_of(entity), model_.aliases()[alias].name};
  if (request.entity == request.alias) request.entity = model_.name(entity);
  model_.begin_alias(alias, entity);
  clients_.note("alias", alias, entity);
  clients_.ask(any_machine(), request, [this, alias, entity, tries_left](const Outcome& outcome) {
    const auto* error = std::get_if<Error>(&outcome.reply);
    const bool refused = error && error->code == Code::bad_request;
    clients_.note("alias ended", alias, entity, static_cast<uint64_t>(outcome.ended) + 10 * refused);
    graph_counters_.aliases += outcome.ended == Ended::done;
    graph_counters_.aliases_refused += refused;
    if (const auto* result = std::get_if<wire::AliasResult>(&outcome.reply); result && result->entity != model_.name(entity))
      throw Violation("ALIAS says whose it is", model_.aliases()[alias].name + " of " + result->entity);
    model_.end_alias(alias, entity, outcome.ended, refused);
    if (refused || outcome.ended == Ended::done || tries_left <= 1 || !running_) return;
    schedule_.after(Duration{static_cast<int64_t>(graph_random_.below(500'000))}, [this, alias, entity, tries_left] {
      if (running_) try_alias(alias, entity, tries_left - 1);
    });
  }, {Code::bad_request});
}

// The name of somebody who has published cannot lead to another.
void Workload::claim_used_name() {
  if (recent_.empty()) return;
  const Publish& p = model_.publish(recent_[graph_random_.below(recent_.size())]);
  const Entity entity = any_entity();
  if (entity == p.author || !model_.deletions(p.author).empty()) return;
  clients_.ask(any_machine(), wire::Alias{model_.name(entity), model_.name(p.author)}, [this, &p](const Outcome& outcome) {
    if (outcome.ended == Ended::done && model_.deletions(p.author).empty())
      throw Violation("an alias has no life of its own", model_.name(p.author));
  }, {Code::bad_request});
}

// ---- DELETE

void Workload::erase(Entity entity, int tries_left) {
  if (!model_.may_delete(entity)) return;
  model_.begin_delete(entity, schedule_.now());
  clients_.note("delete", entity, 0);
  clients_.ask(any_machine(), wire::Delete{name_of(entity)}, [this, entity, tries_left, sent = schedule_.now()](const Outcome& outcome) {
    clients_.note("delete ended", entity, static_cast<uint64_t>(outcome.ended));
    model_.end_delete(entity, outcome.ended, sent, schedule_.now());
    graph_counters_.deleted += outcome.ended == Ended::done;
    if (outcome.ended == Ended::done || tries_left <= 1 || !running_) return;
    schedule_.after(Duration{static_cast<int64_t>(graph_random_.below(500'000))}, [this, entity, tries_left] {
      if (running_) erase(entity, tries_left - 1);
    });
  });
}

}  // namespace canopy::sim
