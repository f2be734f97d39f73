// A record as the API tells it, for tests of the geometry.
import type {Allocation} from "../api/types";

export function allocation(id: string, blockId: string, offsetBytes: number, grantedBytes: number, more: Partial<Allocation> = {}): Allocation {
  return {
    id, blockId, offsetBytes, grantedBytes, sizeBytes: grantedBytes, deviceId: "a", alignment: 256, allocationType: "default", status: "live", owner: "ada", purpose: "", persistent: true,
    shareable: false, isPinned: false, createdAt: "2026-01-01T00:00:00.000Z", lastAccessed: "2026-01-01T00:00:00.000Z", accessCount: 0, attachedClients: 0, ...more,
  };
}
