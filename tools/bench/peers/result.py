"""What a peer's measurement returns."""


def result(deliveries, messages, seconds, before, after, client_cpu, entries_before=0, entries=0, **more):
    """`before`, `after`: the server's Usage around the measured time; `entries`: in its lists then."""
    server_cpu = after.cpu - before.cpu
    found = {
        "deliveries_per_s": deliveries / seconds, "deliveries": deliveries, "messages": messages, "seconds": seconds,
        "deliveries_per_cpu_s": deliveries / max(server_cpu, 0.01), "server_cores": server_cpu / seconds,
        "load_cores": client_cpu / seconds, "written_per_delivery": (after.written - before.written) / deliveries,
        "ram_per_entry": (after.rss - before.rss) / (entries - entries_before) if entries > entries_before else None,
    }
    return {**found, **more}
