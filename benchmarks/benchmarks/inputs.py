"""Seeded inputs of the benchmarks. Append only, so that old results stay comparable."""

import random


def tsbs_cpu(lines, hosts=1000, seed=1):
    """The shape of the TSBS cpu table: 10 tags, 10 integer fields."""
    rng = random.Random(seed)
    series = [
        f"cpu,hostname=host_{host},region=eu-west-{host % 4},datacenter=eu-west-{host % 4}{'abc'[host % 3]},"
        f"rack={host % 100},os=Ubuntu16.{host % 2}LTS,arch=x{64 + 22 * (host % 2)},team={'SFNYLA'[host % 5]},"
        f"service={host % 20},service_version={host % 2},service_environment={'test' if host % 2 else 'prod'}"
        for host in range(hosts)
    ]
    fields = ("usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait")
    fields += ("usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice")
    result = []
    for line in range(lines):
        values = ",".join(f"{field}={rng.randrange(100)}i" for field in fields)
        time_ns = 1_451_606_400_000_000_000 + line // hosts * 10_000_000_000
        result.append(f"{series[line % hosts]} {values} {time_ns}\n")
    return "".join(result).encode()
