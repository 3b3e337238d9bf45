package pocketgan.measure

import pocketgan.schema.Placement

/** Frames whose median is the time of the CPU alone; enough to see which of the two is faster. */
private const val CPU_FRAMES = 5

/**
 * [told] with what else says where a model ran: the nodes of each provider, and the median frame of the CPU alone where
 * something else was asked for. Each is taken from a load of its own, so that no timed frame pays for it, and is null
 * where it cannot be had: the measurement stands without it.
 */
internal fun evidence(
    told: Placement?,
    engine: Engine,
    request: ModelRequest,
    plan: ModelPlan,
    clock: NanoClock,
    each: () -> Unit,
): Placement? {
    if (told == null) return null
    each()
    val inputs = plan.inputs.associate { it.spec.name to it.golden.cast(it.spec.dtype) }
    return told.copy(
        planned = told.planned ?: orNull { engine.planned(request, inputs) },
        cpuNs = engine.onCpuAlone(request)?.let { alone -> orNull { medianFrame(engine, alone, plan, clock, each) } },
    )
}

private fun medianFrame(
    engine: Engine,
    request: ModelRequest,
    plan: ModelPlan,
    clock: NanoClock,
    each: () -> Unit,
): Long = TimedModel(plan, engine.load(request), clock).use { model ->
    model.run()
    val times = List(CPU_FRAMES) {
        each()
        model.frame(0).run { preNs + inferenceNs + postNs }
    }
    times.sorted()[CPU_FRAMES / 2]
}

private fun <T> orNull(find: () -> T?): T? =
    try {
        find()
    } catch (cancelled: CancelledException) {
        throw cancelled
    } catch (problem: Exception) {
        null
    } catch (problem: LinkageError) {
        null
    }
