package pocketgan.measure

import kotlin.math.abs
import pocketgan.schema.WarmedUp
import pocketgan.schema.Warmup

internal const val NS_PER_S = 1e9

/** Nanoseconds on the device's monotonic clock. */
fun interface NanoClock {
    fun now(): Long
}

/**
 * Run frames until the rule is met; bench/schema/conformance/warmup.json pins it.
 *
 * @param frame runs one frame and returns its nanoseconds.
 */
fun warmUp(rule: Warmup, clock: NanoClock, frame: () -> Long): WarmedUp {
    val started = clock.now()
    val end = started + (rule.timeoutS * NS_PER_S).toLong()
    val times = ArrayList<Long>()
    var steady = rule.timeoutS <= 0
    while (times.size < rule.iterations || !(steady || clock.now() >= end)) {
        times += frame()
        // Looked at once a window: with every frame anew, chance would find two windows alike.
        val window = rule.window
        if (times.size % window == 0L && times.size >= 2 * window) {
            val count = window.toInt()
            val before = median(times.subList(times.size - 2 * count, times.size - count))
            val last = median(times.subList(times.size - count, times.size))
            steady = steady || abs(before - last) <= rule.tolerance * last
        }
    }
    return WarmedUp(times.size.toLong(), clock.now() - started, steady)
}

private fun median(times: List<Long>): Double {
    val sorted = times.sorted()
    val middle = sorted.size / 2
    return if (sorted.size % 2 == 1) sorted[middle].toDouble() else (sorted[middle - 1] + sorted[middle]) / 2.0
}
