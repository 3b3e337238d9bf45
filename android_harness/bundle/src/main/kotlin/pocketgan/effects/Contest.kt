package pocketgan.effects

import pocketgan.measure.NanoClock
import pocketgan.measure.turns

/** How long all contenders together are timed. */
private const val BUDGET_NS = 2_000_000_000L

/** Each has two turns early and two late in that time. */
private const val TURNS_EACH = 4

/** One that is that much slower than the fastest after equal turns will not be the fastest. */
private const val HOPELESS = 2

/** What is timed: [frame] runs one, [turn] surrounds the frames of a turn. */
internal interface Contender {
    fun turn(frames: () -> Unit)

    fun frame()
}

/**
 * The median time of a frame of each, in nanoseconds, null of one that failed; they take turns in the balanced order of
 * the harness. The first frame of a turn does not count: another's turn has evicted its weights, an app's are there.
 *
 * @param failed is told what a contender threw.
 */
internal fun <T : Contender> medians(
    contenders: List<T>, clock: NanoClock, failed: (T, Throwable) -> Unit,
): Map<T, Long> {
    val times = contenders.associateWithTo(LinkedHashMap()) { ArrayList<Long>() }
    var left = contenders
    val end = clock.now() + BUDGET_NS
    var pair = 0
    do {
        val slice = BUDGET_NS / (TURNS_EACH * maxOf(1, left.size))
        // A round and its reverse: only after both have all had equal places.
        val rounds = if (left.isEmpty()) emptyList() else turns(left.size, 2 * (pair + 1)).takeLast(2)
        for (contender in rounds.flatten().map { left[it] }) {
            if (contender !in times) continue // it failed in its last turn
            attempt({ contender.turn { times.getValue(contender) += turn(contender, slice, clock) } }) {
                times -= contender
                failed(contender, it)
            }
        }
        val fastest = times.values.minOfOrNull(::median) ?: break
        left = left.filter { it in times && times.getValue(it).min() <= HOPELESS * fastest }
        pair += 1
    } while (left.size > 1 && clock.now() < end)
    return times.mapValues { median(it.value) }
}

private fun turn(contender: Contender, slice: Long, clock: NanoClock): List<Long> {
    val started = clock.now()
    contender.frame()
    val times = ArrayList<Long>()
    do {
        val before = clock.now()
        contender.frame()
        times += clock.now() - before
    } while (clock.now() - started < slice)
    return times
}

/** What an engine may throw is about one candidate: its own exceptions, no memory, a library that is not for this phone. */
internal inline fun attempt(work: () -> Unit, failed: (Throwable) -> Unit) {
    try {
        work()
    } catch (problem: Exception) {
        failed(problem)
    } catch (problem: OutOfMemoryError) {
        failed(problem)
    } catch (problem: LinkageError) {
        failed(problem)
    }
}

internal fun median(times: List<Long>): Long = times.sorted().let { (it[(it.size - 1) / 2] + it[it.size / 2]) / 2 }
