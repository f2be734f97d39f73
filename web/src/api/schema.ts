// Made by `npm run types` from the daemon's /openapi.json. Do not edit: run it again.
// Longer than 400 lines because it is one document's shapes.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Action: {
            action: components["schemas"]["AdviceKind"];
            after: components["schemas"]["Outlook"];
            before: components["schemas"]["Outlook"];
            call: components["schemas"]["CallTold"];
            deviceId: string;
            /** Format: int64 */
            freedBytes: number;
            reason: string;
        };
        /** @enum {string} */
        AdviceKind: "evictModels" | "releaseEmptyArenas" | "defragment" | "moveAllocation" | "freeUnused" | "lookAtUsage" | "raiseQuota" | "enforceLimit" | "raiseLimit" | "lowerReserve";
        AllocateHereRequest: {
            /**
             * Format: int64
             * @default 256
             */
            alignment?: number;
            /** @default default */
            allocationType?: components["schemas"]["AllocationType"];
            /**
             * Format: int64
             * @default 60
             */
            leaseSeconds?: number;
            owner?: string;
            /** @default true */
            persistent?: boolean;
            /** @default normal */
            priority?: components["schemas"]["Priority"];
            /** @default  */
            purpose?: string;
            /** @default false */
            shareable?: boolean;
            /** Format: int64 */
            sizeBytes: number;
            /**
             * Format: int64
             * @default 0
             */
            timeoutSeconds?: number;
        };
        AllocateRequest: {
            /**
             * Format: int64
             * @default 256
             */
            alignment?: number;
            /** @default default */
            allocationType?: components["schemas"]["AllocationType"];
            deviceId?: string;
            /**
             * Format: int64
             * @default 60
             */
            leaseSeconds?: number;
            owner?: string;
            /** @default true */
            persistent?: boolean;
            /** @default normal */
            priority?: components["schemas"]["Priority"];
            /** @default  */
            purpose?: string;
            /** @default false */
            shareable?: boolean;
            /** Format: int64 */
            sizeBytes: number;
            /**
             * Format: int64
             * @default 0
             */
            timeoutSeconds?: number;
        };
        Allocation: {
            /** Format: int64 */
            accessCount: number;
            /** Format: int64 */
            alignment: number;
            allocationType: components["schemas"]["AllocationType"];
            /** Format: int64 */
            attachedClients: number;
            blockId: string;
            contentStats?: components["schemas"]["ContentStats"];
            /** Format: date-time */
            createdAt: string;
            deviceId: string;
            /** Format: int64 */
            grantedBytes: number;
            history?: components["schemas"]["LedgerEvent"][];
            historyComplete?: boolean;
            /** Format: int64 */
            historyOmitted?: number;
            id: string;
            isPinned: boolean;
            /** Format: date-time */
            lastAccessed: string;
            /** Format: date-time */
            leaseExpiresAt?: string;
            /** Format: int64 */
            leaseSeconds?: number;
            model?: string;
            /** Format: int64 */
            offsetBytes: number;
            owner: string;
            persistent: boolean;
            purpose: string;
            shareable: boolean;
            /** Format: int64 */
            sizeBytes: number;
            status: components["schemas"]["AllocationStatus"];
        };
        AllocationList: {
            items: components["schemas"]["Allocation"][];
            nextCursor: string | null;
        };
        AllocationMade: {
            /** Format: int64 */
            accessCount: number;
            /** Format: int64 */
            alignment: number;
            allocationType: components["schemas"]["AllocationType"];
            /** Format: int64 */
            attachedClients: number;
            blockId: string;
            contentStats?: components["schemas"]["ContentStats"];
            /** Format: date-time */
            createdAt: string;
            deviceAfter: components["schemas"]["DeviceAfter"];
            deviceId: string;
            /** Format: int64 */
            grantedBytes: number;
            history?: components["schemas"]["LedgerEvent"][];
            historyComplete?: boolean;
            /** Format: int64 */
            historyOmitted?: number;
            id: string;
            isPinned: boolean;
            /** Format: date-time */
            lastAccessed: string;
            /** Format: date-time */
            leaseExpiresAt?: string;
            /** Format: int64 */
            leaseSeconds?: number;
            model?: string;
            /** Format: int64 */
            offsetBytes: number;
            owner: string;
            performance: components["schemas"]["Performance"];
            persistent: boolean;
            purpose: string;
            shareable: boolean;
            /** Format: int64 */
            sizeBytes: number;
            status: components["schemas"]["AllocationStatus"];
        };
        /** @enum {string} */
        AllocationStatus: "pending" | "live" | "zombie";
        /** @enum {string} */
        AllocationType: "default" | "pinned" | "mapped" | "texture" | "buffer" | "unified";
        Analytics: {
            devices: components["schemas"]["DeviceAnalytics"][];
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
            window: components["schemas"]["Window"];
        };
        AnalyticsPoint: {
            /** Format: int64 */
            allocatedCount: number;
            /** Format: date-time */
            at: string;
            /** Format: int64 */
            averageBytes: number;
            /** Format: int64 */
            freedCount: number;
            /** Format: int64 */
            peakBytes: number;
        };
        Audit: {
            /** Format: int64 */
            checked: number;
            /** Format: int64 */
            findingCount: number;
            findings?: string[];
            /** Format: int64 */
            ledgerSequence: number;
            ok: boolean;
            stateHash: string;
        };
        AvailableModel: {
            /** Format: int64 */
            fileBytes: number;
            folder: string;
            format?: components["schemas"]["ModelFormat"];
            loadedAs: string[];
            path: string;
            /** Format: int64 */
            predictedBytes?: number;
            problem?: components["schemas"]["Problem"];
            /** Format: int64 */
            tensorBytes?: number;
            /** Format: int64 */
            tensorCount?: number;
        };
        AvailableModelList: {
            items: components["schemas"]["AvailableModel"][];
            nextCursor: string | null;
        };
        CallBody: {
            deviceId?: string;
            enforceImmediately?: boolean;
            /** Format: int64 */
            maxBytes?: number;
            maxPercentage?: number;
            mode?: string;
            operations?: string[];
            ownerQuotas?: {
                [key: string]: number;
            };
            /** Format: int64 */
            reserveBytes?: number;
            sourceAllocationId?: string;
            strategy?: string;
            targetDeviceId?: string;
            targetPressurePercentage?: number;
        };
        CallTold: {
            body?: components["schemas"]["CallBody"];
            method: string;
            path: string;
        };
        ChangedLimits: {
            /** Format: int64 */
            availableBytes: number;
            deviceId: string;
            dryRun: boolean;
            /** Format: int64 */
            emergencyThresholdBytes: number;
            emergencyThresholdPercentage: number;
            /** Format: int64 */
            heldBytes: number;
            impact: components["schemas"]["LimitsImpact"];
            /** Format: int64 */
            maxBytes: number;
            maxGivenAs: components["schemas"]["LimitForm"];
            maxPercentage: number;
            ownerQuotas: components["schemas"]["OwnerQuota"][];
            reclaimed: components["schemas"]["Reclaimed"];
            /** Format: int64 */
            reserveBytes: number;
            /** Format: int64 */
            revision: number;
            /** Format: int64 */
            totalBytes: number;
            /** Format: int64 */
            usableBytes: number;
            /** Format: int64 */
            usedBytes: number;
        };
        ClearDeviceRequest: {
            /**
             * Format: int64
             * @default 0
             */
            fillValue?: number;
        };
        Cleared: {
            /** Format: int64 */
            allocationsTouched: number;
            /** Format: int64 */
            bytes: number;
            /** Format: int64 */
            bytesPerSecond: number;
            durationMs: number;
            efficiencyPercentage?: number;
            /** Format: int64 */
            freeRangesTouched: number;
        };
        ClearRequest: {
            allocationId?: string;
            deviceId?: string;
            /**
             * Format: int64
             * @default 0
             */
            fillValue?: number;
            /**
             * Format: int64
             * @default 0
             */
            offsetBytes?: number;
            /** Format: int64 */
            sizeBytes?: number;
        };
        ContentStats: {
            checksum: string;
            /** Format: int64 */
            distinctValues: number;
            durationMs: number;
            entropyBitsPerByte: number;
            /** Format: int64 */
            scannedBytes: number;
            /** Format: int64 */
            zeroBytes: number;
            zeroPercentage: number;
        };
        CopyRequest: {
            /** Format: int64 */
            sizeBytes?: number;
            sourceAllocationId: string;
            /**
             * Format: int64
             * @default 0
             */
            sourceOffsetBytes?: number;
            targetAllocationId: string;
            /**
             * Format: int64
             * @default 0
             */
            targetOffsetBytes?: number;
        };
        Defragmentation: {
            after?: components["schemas"]["MemorySnapshot"];
            before: components["schemas"]["MemorySnapshot"];
            devices: components["schemas"]["DeviceBeforeAfter"][];
            dryRun: boolean;
            durationMs: number;
            efficiency: number;
            /** Format: int64 */
            freedBytes: number;
            /** Format: int64 */
            movedBytes: number;
            /** Format: int64 */
            moves: number;
            stoppedBy: components["schemas"]["StoppedBy"];
            strategy: components["schemas"]["DefragmentStrategy"];
            whyLeft: string;
        };
        DefragmentRequest: {
            /** @default false */
            dryRun?: boolean;
            /** @default balanced */
            strategy?: components["schemas"]["DefragmentStrategy"];
            targetFragmentationPercentage?: number;
            /** Format: int64 */
            timeLimitMs?: number;
            /** @default true */
            waitForCompletion?: boolean;
        };
        /** @enum {string} */
        DefragmentStrategy: "quick" | "balanced" | "thorough" | "conservative";
        Device: {
            capabilities: string[];
            deviceId: string;
            driver: string;
            /** Format: int64 */
            granularityBytes: number;
            health: components["schemas"]["HealthState"];
            healthReasons: string[];
            kind: string;
            links: components["schemas"]["Link"][];
            memoryType: string;
            name: string;
            /** Format: int64 */
            physicalBytes?: number;
            /** Format: int64 */
            pinnedBytes?: number;
            /** Format: int64 */
            totalBytes: number;
            uuid?: string;
        };
        DeviceAfter: {
            /** Format: int64 */
            availableBytes: number;
            deviceId: string;
            fragmentationPercentage: number;
            /** Format: int64 */
            largestFreeBytes: number;
            /** Format: int64 */
            usedBytes: number;
        };
        DeviceAnalytics: {
            coveredSeconds: number;
            deviceId: string;
            efficiency: components["schemas"]["Efficiency"];
            fragmentation: components["schemas"]["Fragmentation"];
            fragmentationPoints: components["schemas"]["FragmentationPoint"][];
            points: components["schemas"]["AnalyticsPoint"][];
            throughput: components["schemas"]["Throughput"];
            trends: components["schemas"]["Trends"];
        };
        DeviceBeforeAfter: {
            after?: components["schemas"]["MemorySnapshot"];
            before: components["schemas"]["MemorySnapshot"];
            deviceId: string;
        };
        DeviceList: {
            items: components["schemas"]["Device"][];
            nextCursor: string | null;
        };
        DeviceModels: {
            agrees: boolean;
            /** Format: int64 */
            deviceBytes: number;
            deviceId: string;
            /** Format: int64 */
            modelBytes: number;
            /** Format: int64 */
            modelCount: number;
            models: components["schemas"]["ModelMemory"][];
        };
        DeviceOutcome: {
            after: components["schemas"]["Outlook"];
            before: components["schemas"]["Outlook"];
            deviceId: string;
            /** Format: int64 */
            freedBytes: number;
            targetPressurePercentage: number;
            targetReached: boolean;
        };
        DevicePressure: {
            /** Format: int64 */
            availableBytes: number;
            band: components["schemas"]["PressureBand"];
            cause: components["schemas"]["PressureCause"];
            decisivePart: components["schemas"]["PressurePart"];
            deviceId: string;
            level: number;
            /** Format: date-time */
            measuredAt: string;
            parts: components["schemas"]["PressurePartTold"][];
            /** Format: int64 */
            reclaimableBytes: number;
            recommendedActions: components["schemas"]["Action"][];
            recordedBand: components["schemas"]["PressureBand"];
            /** Format: date-time */
            recordedSince?: string;
            thresholds: components["schemas"]["PressureThresholds"];
            /** Format: int64 */
            timeToCriticalSeconds?: number;
            trend?: components["schemas"]["Trend"];
        };
        DeviceStatus: {
            /** Format: int64 */
            allocationCount: number;
            allocations?: components["schemas"]["AllocationList"];
            /** Format: int64 */
            availableBytes: number;
            /** Format: int64 */
            blockCount: number;
            deviceId: string;
            fragmentation?: components["schemas"]["Fragmentation"];
            /** Format: int64 */
            freeBytes: number;
            /** Format: int64 */
            groupLimitBytes?: number;
            /** Format: int64 */
            groupUsedBytes?: number;
            health: components["schemas"]["HealthState"];
            healthReasons: string[];
            /** Format: int64 */
            healthScore: number;
            hugePages: components["schemas"]["HugePages"];
            /** Format: int64 */
            liveBytes: number;
            memoryType: string;
            numaNodes: components["schemas"]["NumaNode"][];
            otherProcesses: components["schemas"]["OtherProcess"][];
            /** Format: int64 */
            otherProcessesBytes?: number;
            /** Format: int64 */
            physicalBytes?: number;
            /** Format: int64 */
            poolBytes: number;
            /** Format: int64 */
            reclaimableBytes: number;
            /** Format: int64 */
            reservedBytes: number;
            stall?: components["schemas"]["Stall"];
            /** Format: int64 */
            systemAvailableBytes?: number;
            /** Format: int64 */
            totalBytes: number;
            usage?: components["schemas"]["Usage"];
            usagePercentage: number;
            /** Format: int64 */
            usedBytes: number;
            /** Format: int64 */
            zombieBytes: number;
        };
        /** @enum {string} */
        Direction: "steady" | "rising" | "falling";
        Efficiency: {
            /** Format: int64 */
            arenaBytes: number;
            arenaUsagePercentage: number;
            /** Format: int64 */
            arenaUsedBytes: number;
            averageUsagePercentage: number;
            /** Format: int64 */
            grantedBytes: number;
            peakUsagePercentage: number;
            /** Format: int64 */
            requestedBytes: number;
            roundingLossPercentage: number;
        };
        /** @enum {string} */
        EvictionStrategy: "conservative" | "balanced" | "aggressive" | "smart";
        Fragmentation: {
            /** Format: int64 */
            freeBytes: number;
            histogram: components["schemas"]["HoleClass"][];
            /** Format: int64 */
            holes: number;
            /** Format: int64 */
            largestFreeBytes: number;
            percentage: number;
        };
        FragmentationPoint: {
            /** Format: date-time */
            at: string;
            fragmentationPercentage: number;
            /** Format: int64 */
            holes: number;
            pressurePercentage: number;
            /** Format: int64 */
            smallestLargestFreeBytes: number;
        };
        Freed: {
            deviceAfter: components["schemas"]["DeviceAfter"];
            /** Format: int64 */
            freedBytes: number;
            performance: components["schemas"]["Performance"];
            status: components["schemas"]["FreeStatus"];
        };
        /** @enum {string} */
        FreeStatus: "freed" | "zombie" | "cached";
        Health: {
            reason?: string;
            status: string;
        };
        /** @enum {string} */
        HealthState: "good" | "degraded" | "lost";
        HoleClass: {
            fromBytes: number;
            /** Format: int64 */
            holes: number;
        };
        HugePages: {
            /** Format: int64 */
            freeCount?: number;
            sharedMemoryPolicy?: string;
            /** Format: int64 */
            sizeBytes?: number;
            /** Format: int64 */
            totalCount?: number;
        };
        LeaseRequest: {
            /**
             * Format: int64
             * @default 60
             */
            leaseSeconds?: number;
        };
        LedgerEvent: {
            allocationId?: string;
            allocationType?: components["schemas"]["AllocationType"];
            /** Format: date-time */
            at: string;
            blockId?: string;
            /** Format: int64 */
            bytes?: number;
            /** Format: int64 */
            capacityBytes?: number;
            cause?: string;
            code?: string;
            detail?: string;
            deviceId?: string;
            durationMs?: number;
            from?: string;
            fromDeviceId?: string;
            /** Format: int64 */
            grantedBytes?: number;
            kind?: string;
            /** Format: int64 */
            leaseSeconds?: number;
            levelPercentage?: number;
            mode?: string;
            modelId?: string;
            name?: string;
            operationId?: string;
            owner?: string;
            path?: string;
            persistent?: boolean;
            purpose?: string;
            reason?: string;
            /** Format: int64 */
            sequence: number;
            sessionId?: string;
            /** Format: int64 */
            sizeBytes?: number;
            state?: string;
            targetAllocationId?: string;
            to?: string;
            transferId?: string;
            type: string;
        };
        /** @enum {string} */
        LimitForm: "none" | "bytes" | "percentage";
        Limits: {
            /** Format: int64 */
            availableBytes: number;
            deviceId: string;
            /** Format: int64 */
            emergencyThresholdBytes: number;
            emergencyThresholdPercentage: number;
            /** Format: int64 */
            heldBytes: number;
            /** Format: int64 */
            maxBytes: number;
            maxGivenAs: components["schemas"]["LimitForm"];
            maxPercentage: number;
            ownerQuotas: components["schemas"]["OwnerQuota"][];
            /** Format: int64 */
            reserveBytes: number;
            /** Format: int64 */
            revision: number;
            /** Format: int64 */
            totalBytes: number;
            /** Format: int64 */
            usableBytes: number;
            /** Format: int64 */
            usedBytes: number;
        };
        LimitsImpact: {
            /** Format: int64 */
            availableBytesAfter: number;
            /** Format: int64 */
            availableBytesBefore: number;
            models: string[];
            /** Format: int64 */
            overBytes: number;
            ownersOverQuota: components["schemas"]["OwnerQuota"][];
            /** Format: int64 */
            reclaimableBlocks: number;
            /** Format: int64 */
            reclaimableBytes: number;
            /** Format: int64 */
            remainsOverBytes: number;
        };
        LimitsRequest: {
            /** @default false */
            dryRun?: boolean;
            emergencyThresholdPercentage?: number;
            /** @default false */
            enforceImmediately?: boolean;
            /** Format: int64 */
            maxBytes?: number;
            maxPercentage?: number;
            ownerQuotas?: {
                [key: string]: number;
            };
            /** Format: int64 */
            reserveBytes?: number;
        };
        Link: {
            /** Format: int64 */
            bytesPerSecond: number;
            deviceId: string;
            /** Format: date-time */
            measuredAt: string;
        };
        MemoryPressure: {
            band: components["schemas"]["PressureBand"];
            cause: components["schemas"]["PressureCause"];
            devices: components["schemas"]["DevicePressure"][];
            level: number;
        };
        MemorySnapshot: {
            /** Format: int64 */
            allocations: number;
            /** Format: int64 */
            blocks: number;
            fragmentationPercentage: number;
            /** Format: int64 */
            freeBytes: number;
            /** Format: int64 */
            holes: number;
            /** Format: int64 */
            largestFreeBytes: number;
            /** Format: int64 */
            totalBytes: number;
            /** Format: int64 */
            uncommittedBytes: number;
            usagePercentage: number;
            /** Format: int64 */
            usedBytes: number;
        };
        MemoryStatus: {
            /** Format: int64 */
            availableBytes: number;
            devices: components["schemas"]["DeviceStatus"][];
            health: components["schemas"]["HealthState"];
            /** Format: int64 */
            healthScore: number;
            /** Format: int64 */
            reclaimableBytes: number;
            /** Format: int64 */
            reservedBytes: number;
            /** Format: int64 */
            totalBytes: number;
            usagePercentage: number;
            /** Format: int64 */
            usedBytes: number;
            /** Format: int64 */
            zombieBytes: number;
        };
        Model: {
            /** Format: int64 */
            attachedClients: number;
            /** Format: int64 */
            estimatedSizeMb?: number;
            format: components["schemas"]["ModelFormat"];
            id: string;
            /** Format: int64 */
            loadBytesPerSecond?: number;
            /** Format: date-time */
            loadedAt?: string;
            loadMs?: number;
            name: string;
            names: string[];
            operationId: string;
            path: string;
            pinned: boolean;
            places: components["schemas"]["Place"][];
            /** Format: int64 */
            predictedBytes: number;
            /** Format: int64 */
            sizeBytes: number;
            state: components["schemas"]["ModelState"];
            /** Format: int64 */
            tensorBytes: number;
            /** Format: int64 */
            tensorCount: number;
            type: components["schemas"]["ModelType"];
        };
        ModelCache: {
            deviceId?: string;
            items: components["schemas"]["Model"][];
            /** Format: int64 */
            maxBytes: number;
            nextCursor: string | null;
            /** Format: int64 */
            usedBytes: number;
        };
        ModelCacheRequest: {
            /** Format: int64 */
            estimatedSizeMb?: number;
            name: string;
            path: string;
            /** @default normal */
            priority?: components["schemas"]["Priority"];
            type: components["schemas"]["ModelType"];
            /** @default true */
            waitForCompletion?: boolean;
        };
        /** @enum {string} */
        ModelFormat: "safetensors" | "gguf" | "onnx";
        ModelLoadHereRequest: {
            /** Format: int64 */
            estimatedSizeMb?: number;
            name: string;
            path: string;
            /** @default false */
            pinned?: boolean;
            /** @default normal */
            priority?: components["schemas"]["Priority"];
            type: components["schemas"]["ModelType"];
            /** @default true */
            waitForCompletion?: boolean;
        };
        ModelLoadRequest: {
            deviceId?: string;
            /** Format: int64 */
            estimatedSizeMb?: number;
            name: string;
            path: string;
            /** @default false */
            pinned?: boolean;
            /** @default normal */
            priority?: components["schemas"]["Priority"];
            type: components["schemas"]["ModelType"];
            /** @default true */
            waitForCompletion?: boolean;
        };
        ModelMemory: {
            agrees: boolean;
            allocationId: string;
            /** Format: int64 */
            blockBytes: number;
            deviceId: string;
            differences: string[];
            isPinned: boolean;
            name: string;
            onDevice: boolean;
            /** Format: int64 */
            predictedBytes: number;
            /** Format: int64 */
            sizeBytes: number;
            state: components["schemas"]["ModelState"];
            /** Format: int64 */
            tensorBytes: number;
            tier: components["schemas"]["ModelTier"];
        };
        ModelOutcome: {
            detail?: string;
            deviceId: string;
            name: string;
            /** Format: int64 */
            sizeBytes: number;
            stays?: components["schemas"]["StayReason"];
        };
        ModelsMemory: {
            agrees: boolean;
            devices: components["schemas"]["DeviceModels"][];
        };
        /** @enum {string} */
        ModelState: "loading" | "resident" | "cached";
        ModelStatus: {
            availableMemoryMb: number;
            deviceId?: string;
            loadedModels: components["schemas"]["Model"][];
            memoryLimitMb: number;
            /** Format: int64 */
            memoryUsageBytes: number;
            memoryUsageMb: number;
            /** Format: int64 */
            modelCount: number;
        };
        /** @enum {string} */
        ModelTier: "device" | "ram";
        /** @enum {string} */
        ModelType: "unet" | "vae" | "encoder" | "llm" | "lora" | "controlnet" | "other";
        Moved: {
            /** Format: int64 */
            bytes: number;
            /** Format: int64 */
            bytesPerSecond: number;
            durationMs: number;
            efficiencyPercentage?: number;
        };
        NamedPast: {
            /** Format: int64 */
            allocatedBytes: number;
            /** Format: int64 */
            allocatedCount: number;
            /** Format: int64 */
            averageBytes: number;
            /** Format: int64 */
            freedBytes: number;
            /** Format: int64 */
            freedCount: number;
            name: string;
            /** Format: int64 */
            peakBytes: number;
        };
        NumaNode: {
            /** Format: int64 */
            freeBytes?: number;
            /** Format: int64 */
            id: number;
            /** Format: int64 */
            totalBytes?: number;
        };
        Operation: {
            /** Format: int64 */
            bytesPerSecond?: number;
            defragmentation?: components["schemas"]["Defragmentation"];
            /** Format: int64 */
            doneBytes: number;
            /** Format: date-time */
            endedAt?: string;
            etaMs?: number;
            id: string;
            kind: components["schemas"]["OperationKind"];
            model: string;
            optimization?: components["schemas"]["Optimization"];
            owner: string;
            path: string;
            problem?: components["schemas"]["Problem"];
            progressPercentage: number;
            stage: string;
            /** Format: date-time */
            startedAt: string;
            state: components["schemas"]["OperationState"];
            /** Format: int64 */
            totalBytes: number;
        };
        /** @enum {string} */
        OperationKind: "loadModel" | "defragment" | "optimize";
        OperationList: {
            items: components["schemas"]["Operation"][];
            nextCursor: string | null;
        };
        /** @enum {string} */
        OperationState: "running" | "succeeded" | "failed" | "cancelled";
        Optimization: {
            actions: components["schemas"]["OptimizeAction"][];
            after?: components["schemas"]["MemorySnapshot"];
            before: components["schemas"]["MemorySnapshot"];
            devices: components["schemas"]["DeviceBeforeAfter"][];
            dryRun: boolean;
            durationMs: number;
        };
        OptimizeAction: {
            /** Format: int64 */
            endedLeases: number;
            /** Format: int64 */
            freedBytes: number;
            /** Format: int64 */
            left: number;
            models: string[];
            /** Format: int64 */
            movedBytes: number;
            /** Format: int64 */
            moves: number;
            operation: components["schemas"]["OptimizeOperation"];
            /** Format: int64 */
            releasedBlocks: number;
            stoppedBy: components["schemas"]["StoppedBy"];
            whyLeft: string;
        };
        OptimizedModels: {
            devices: components["schemas"]["DeviceOutcome"][];
            dryRun: boolean;
            durationMs: number;
            /** Format: int64 */
            freedBytes: number;
            left: components["schemas"]["ModelOutcome"][];
            unloaded: components["schemas"]["ModelOutcome"][];
        };
        OptimizeModelsRequest: {
            deviceId?: string;
            /** @default false */
            dryRun?: boolean;
            excludeModels?: string[];
            /** Format: int64 */
            maxBytes?: number;
            /** Format: int64 */
            maxModels?: number;
            /** @default balanced */
            strategy?: components["schemas"]["EvictionStrategy"];
            targetPressurePercentage?: number;
        };
        /** @enum {string} */
        OptimizeOperation: "defragment" | "compact" | "garbageCollect" | "preload" | "cache";
        OptimizeRequest: {
            /** @default false */
            dryRun?: boolean;
            operations?: components["schemas"]["OptimizeOperation"][];
            preserveAllocationIds?: string[];
            preserveModels?: string[];
            targetUsagePercentage?: number;
            /** Format: int64 */
            timeLimitMs?: number;
            /** @default true */
            waitForCompletion?: boolean;
        };
        OtherProcess: {
            name?: string;
            /** Format: int64 */
            pid: number;
            /** Format: int64 */
            usedBytes?: number;
        };
        Outlook: {
            fragmentationPercentage: number;
            /** Format: int64 */
            largestFreeBytes: number;
            pressurePercentage: number;
            /** Format: int64 */
            uncommittedBytes: number;
            /** Format: int64 */
            usedBytes: number;
        };
        OwnerQuota: {
            /** Format: int64 */
            heldBytes: number;
            owner: string;
            /** Format: int64 */
            quotaBytes: number;
        };
        Performance: {
            placementMs?: number;
            totalMs: number;
            waitMs?: number;
            zeroingMs?: number;
        };
        Place: {
            allocationId: string;
            deviceId: string;
            /** Format: int64 */
            sizeBytes: number;
            state: components["schemas"]["ModelState"];
            tier: components["schemas"]["ModelTier"];
        };
        /** @enum {string} */
        PressureBand: "low" | "moderate" | "high" | "critical";
        /** @enum {string} */
        PressureCause: "thisService" | "otherProcesses" | "system";
        /** @enum {string} */
        PressurePart: "room" | "machine" | "group" | "stall";
        PressurePartTold: {
            cause: components["schemas"]["PressureCause"];
            level: number;
            part: components["schemas"]["PressurePart"];
            /** Format: int64 */
            usedBytes: number;
            /** Format: int64 */
            wholeBytes: number;
        };
        PressureThresholds: {
            critical: number;
            high: number;
            moderate: number;
        };
        /** @enum {string} */
        Priority: "low" | "normal" | "high" | "critical";
        Problem: {
            /** Format: int64 */
            availableBytes?: number;
            code: string;
            detail: string;
            field?: string;
            instance?: string;
            /** Format: int64 */
            largestFreeBytes?: number;
            limit?: number;
            remedy: string;
            /** Format: int64 */
            requestedBytes?: number;
            /** Format: int64 */
            status: number;
            suggestions?: string[];
            title: string;
            type: string;
            value?: number;
        };
        Reclaimed: {
            /** Format: int64 */
            blocks: number;
            /** Format: int64 */
            bytes: number;
            models: string[];
        };
        Recommendations: {
            /** Format: date-time */
            measuredAt: string;
            recommendations: components["schemas"]["Action"][];
        };
        Recovery: {
            /** Format: int64 */
            adoptedBlocks: number;
            adoptMs: number;
            findings: string[];
            /** Format: int64 */
            replayedEvents: number;
            replayMs: number;
            totalMs: number;
            /** Format: int64 */
            undoneAllocations: number;
        };
        /** @enum {string} */
        Role: "user" | "admin";
        Share: {
            /** Format: int64 */
            allocations: number;
            /** Format: int64 */
            bytes: number;
            name: string;
        };
        Stall: {
            full10sPercentage: number;
            full60sPercentage: number;
            some10sPercentage: number;
            some60sPercentage: number;
        };
        /** @enum {string} */
        StayReason: "pinned" | "excluded" | "inUse" | "touchedLately" | "notNeeded" | "bound";
        /** @enum {string} */
        StoppedBy: "done" | "timeBound" | "pinned" | "leased";
        System: {
            bootId: string;
            /** Format: int64 */
            corePid: number;
            /** Format: date-time */
            coreStartedAt: string;
            /** Format: int64 */
            generation: number;
            /** Format: int64 */
            keeperPid: number;
            /** Format: int64 */
            ledgerSequence: number;
            owner: string;
            readOnly: boolean;
            readOnlyReason?: string;
            recovery: components["schemas"]["Recovery"];
            role: components["schemas"]["Role"];
            /** Format: date-time */
            startedAt: string;
            version: string;
            workers: components["schemas"]["Worker"][];
        };
        Tensor: {
            dtype: string;
            name: string;
            /** Format: int64 */
            offsetBytes: number;
            shape: number[];
            /** Format: int64 */
            sizeBytes: number;
        };
        TensorList: {
            allocationId: string;
            items: components["schemas"]["Tensor"][];
            model: string;
            nextCursor: string | null;
        };
        Throughput: {
            /** Format: int64 */
            allocatedBytesPerSecond: number;
            allocationsPerSecond: number;
            clears: components["schemas"]["WorkThroughput"];
            copies: components["schemas"]["WorkThroughput"];
            deallocationsPerSecond: number;
            /** Format: int64 */
            freedBytesPerSecond: number;
            transfers: components["schemas"]["WorkThroughput"];
        };
        Transfer: {
            cancelling: boolean;
            checksum?: string;
            /** Format: date-time */
            createdAt: string;
            /** Format: date-time */
            endedAt?: string;
            etaMs?: number;
            id: string;
            mode: components["schemas"]["TransferMode"];
            owner: string;
            priority: components["schemas"]["Priority"];
            problem?: components["schemas"]["Problem"];
            progressPercentage: number;
            /** Format: int64 */
            sizeBytes: number;
            sourceAllocationId: string;
            sourceDeviceId: string;
            /** Format: int64 */
            sourceOffsetBytes: number;
            stages: components["schemas"]["TransferStage"][];
            /** Format: date-time */
            startedAt?: string;
            status: components["schemas"]["TransferState"];
            targetAllocationId: string;
            targetDeviceId: string;
            /** Format: int64 */
            targetOffsetBytes: number;
            throughput: components["schemas"]["TransferThroughput"];
            /** Format: int64 */
            transferredBytes: number;
            verify: boolean;
        };
        TransferList: {
            items: components["schemas"]["Transfer"][];
            nextCursor: string | null;
        };
        /** @enum {string} */
        TransferMode: "copy" | "move";
        TransferRequest: {
            /** @default copy */
            mode?: components["schemas"]["TransferMode"];
            /** @default normal */
            priority?: components["schemas"]["Priority"];
            /** Format: int64 */
            sizeBytes?: number;
            sourceAllocationId: string;
            /**
             * Format: int64
             * @default 0
             */
            sourceOffsetBytes?: number;
            targetAllocationId?: string;
            targetDeviceId?: string;
            /**
             * Format: int64
             * @default 0
             */
            targetOffsetBytes?: number;
            /** Format: int64 */
            timeoutSeconds?: number;
            /** @default false */
            verify?: boolean;
            /** @default true */
            waitForCompletion?: boolean;
        };
        TransferStage: {
            durationMs: number;
            name: string;
        };
        /** @enum {string} */
        TransferState: "queued" | "running" | "succeeded" | "failed" | "cancelled";
        TransferThroughput: {
            /** Format: int64 */
            averageBytesPerSecond?: number;
            /** Format: int64 */
            currentBytesPerSecond?: number;
            efficiencyPercentage?: number;
            /** Format: int64 */
            linkLimitBytesPerSecond?: number;
            /** Format: date-time */
            linkLimitMeasuredAt?: string;
            /** Format: int64 */
            peakBytesPerSecond?: number;
        };
        Trend: {
            /** Format: int64 */
            bytesPerSecond: number;
            direction: components["schemas"]["Direction"];
        };
        Trends: {
            fragmentation?: components["schemas"]["Direction"];
            pressurePeakPercentage: number;
            usage?: components["schemas"]["Trend"];
        };
        Usage: {
            /** Format: int64 */
            allocationCount: number;
            byModel: components["schemas"]["Share"][];
            byOwner: components["schemas"]["Share"][];
            byPurpose: components["schemas"]["Share"][];
            deviceId?: string;
            /** Format: int64 */
            liveBytes: number;
            /** Format: int64 */
            meanAllocationBytes: number;
            /** Format: int64 */
            otherProcessesBytes?: number;
            usagePercentage: number;
            /** Format: int64 */
            usedBytes: number;
            /** Format: int64 */
            zombieBytes: number;
        };
        UsagePast: {
            /** Format: int64 */
            allocatedBytes: number;
            /** Format: int64 */
            allocatedCount: number;
            allocationsPerSecond: number;
            /** Format: int64 */
            averageBytes: number;
            byModel: components["schemas"]["NamedPast"][];
            byOwner: components["schemas"]["NamedPast"][];
            byPurpose: components["schemas"]["NamedPast"][];
            coveredSeconds: number;
            deallocationsPerSecond: number;
            deviceId: string;
            /** Format: int64 */
            freedBytes: number;
            /** Format: int64 */
            freedCount: number;
            /** Format: date-time */
            from: string;
            /** Format: int64 */
            lowestBytes: number;
            /** Format: int64 */
            meanAllocationBytes: number;
            /** Format: int64 */
            peakBytes: number;
            /** Format: date-time */
            to: string;
            window: components["schemas"]["Window"];
        };
        UsageReport: {
            /** Format: int64 */
            allocationCount: number;
            byModel: components["schemas"]["Share"][];
            byOwner: components["schemas"]["Share"][];
            byPurpose: components["schemas"]["Share"][];
            deviceId?: string;
            /** Format: int64 */
            liveBytes: number;
            /** Format: int64 */
            meanAllocationBytes: number;
            /** Format: int64 */
            otherProcessesBytes?: number;
            past: components["schemas"]["UsagePast"][];
            usagePercentage: number;
            /** Format: int64 */
            usedBytes: number;
            /** Format: int64 */
            zombieBytes: number;
        };
        /** @enum {string} */
        Window: "1m" | "5m" | "1h" | "24h" | "7d";
        Worker: {
            job: string;
            operationId: string;
            /** Format: int64 */
            pid: number;
        };
        WorkThroughput: {
            /** Format: int64 */
            bytes: number;
            /** Format: int64 */
            bytesPerSecond?: number;
            /** Format: int64 */
            count: number;
            efficiencyPercentage?: number;
            /** Format: int64 */
            limitBytesPerSecond: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
