"""What must hold once the next core answers and nothing is in flight: records, models, sums, audit, descriptors, processes."""
import time


def all_items(daemon, path):
    items, cursor = [], ""
    while cursor is not None:
        page = daemon.get(f"{path}?limit=1000" + (f"&cursor={cursor}" if cursor else "")).ok()
        items += page["items"]
        cursor = page["nextCursor"]
    return items


def verify(daemon, workers, descriptors_beside_blocks):
    """Everything that must hold after a recovery; answers the keeper's descriptors beside one per block."""
    # The operations first: a load that goes on has neither a process nor a model for a moment.
    wait_until(lambda: all(operation["state"] != "running" for operation in all_items(daemon, "/api/operations")) or None, "no running operation")
    wait_until(lambda: (not daemon.get("/api/system").ok()["workers"]) or None, "no loading process")
    wait_until(lambda: all(model["state"] == "resident" for model in daemon.get("/api/model/status").ok()["loadedModels"]) or None,
               "every load that was cut off to be taken back or finished")
    wait_until(lambda: daemon.get("/api/memory/status").ok()["zombieBytes"] == 0 or None, "freed blocks to be given back")
    records = {record["id"]: record for record in all_items(daemon, "/api/memory/allocations")}
    models = {name: model for model in daemon.get("/api/model/status").ok()["loadedModels"] for name in model["names"]}
    for worker in workers:
        worker.verify(records)
        worker.verify_models(models)
    for operation in all_items(daemon, "/api/operations"):
        code = operation.get("problem", {}).get("code")
        assert operation["state"] != "failed" or code == "insufficient-memory", f"a load failed for another reason than room: {operation}"
    audit = daemon.get("/api/audit").ok()
    assert audit["ok"], audit
    device = verify_sums(daemon, records)
    system = daemon.get("/api/system").ok()
    assert daemon.family() == {system["corePid"]}, f"processes beside the core: {daemon.family()}"
    beside = daemon.keeper_descriptors() - device["blockCount"]
    if descriptors_beside_blocks is not None:
        assert beside <= descriptors_beside_blocks, f"the keeper holds {beside} descriptors beside one per block, {descriptors_beside_blocks} before"
    return beside


def verify_sums(daemon, records):
    """Nothing is in flight, so every sum is equal, not only within bounds; answers the device's status."""
    status, usage = daemon.get("/api/memory/status").ok(), daemon.get("/api/memory/usage").ok()
    device = status["devices"][0]
    granted = sum(record["grantedBytes"] for record in records.values())
    held = {"liveBytes": granted, "usedBytes": granted, "zombieBytes": 0, "reservedBytes": 0, "freeBytes": device["totalBytes"] - granted,
            "allocationCount": len(records)}
    assert {key: device[key] for key in held} == held, f"the records say {held}, the status {device}"
    assert device["availableBytes"] <= device["freeBytes"], device
    assert (status["usedBytes"], status["totalBytes"]) == (granted, device["totalBytes"]), status
    assert (usage["liveBytes"], usage["usedBytes"], usage["allocationCount"]) == (granted, granted, len(records)), usage
    for part in ("byOwner", "byPurpose"):
        shares = usage[part]
        assert (sum(share["bytes"] for share in shares), sum(share["allocations"] for share in shares)) == (granted, len(records)), usage
    return device


def wait_until(condition, words, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found is not None:
            return found
    raise AssertionError(f"waited {seconds} s in vain for {words}")
