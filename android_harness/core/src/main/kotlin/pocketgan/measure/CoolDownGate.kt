package pocketgan.measure

import kotlin.math.max
import kotlin.math.min
import pocketgan.schema.Conditions
import pocketgan.schema.CoolDown
import pocketgan.schema.CooledDown

private const val POLL_S = 1.0

/** Whether the rule is met; null where the OS tells nothing that it asks for. */
internal fun isCool(rule: CoolDown, state: Conditions): Boolean? {
    val (limit, temperature) = rule.maximumTemperatureC to state.temperatureC
    val met = listOfNotNull(
        state.thermalState?.let { it <= rule.maximumThermalState },
        if (limit != null && temperature != null) temperature <= limit else null,
    )
    return if (met.isEmpty()) null else met.all { it }
}

/** Wait for the rule, its timeout at most; what came of it. */
internal fun waitUntilCool(rule: CoolDown, device: Surroundings, clock: NanoClock, each: () -> Unit): CooledDown {
    val started = clock.now()
    var waited = 0.0
    while (true) {
        val cool = isCool(rule, device.conditions())
        if (cool != false || waited >= rule.timeoutS) return CooledDown(waited, cool)
        val step = min(POLL_S, rule.timeoutS - waited)
        device.sleep(step)
        waited = max(waited + step, (clock.now() - started) / NS_PER_S)
        each()
    }
}
