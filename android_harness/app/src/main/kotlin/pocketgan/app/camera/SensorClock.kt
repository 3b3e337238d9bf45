package pocketgan.app.camera

import android.os.SystemClock

/** Looks at both clocks; the one that was disturbed least counts. */
private const val LOOKS = 9

/** A frame comes some tenths of a second after its exposure began. */
private const val LONGEST_WAY_NS = 2_000_000_000L

/**
 * Puts a sensor's stamps on CLOCK_MONOTONIC, which frames are measured with.
 *
 * Android: stamps of source REALTIME are of `SystemClock.elapsedRealtimeNanos`, which goes on while the phone sleeps;
 * of source UNKNOWN they are roughly of `SystemClock.uptimeMillis`, which is CLOCK_MONOTONIC. Not all that say UNKNOWN
 * keep to it: theirs is the clock by which the first frame has just come. It is taken anew whenever a camera is opened:
 * a phone whose screen is on does not sleep.
 *
 * @param bootAheadNs how much the first clock is ahead of the second.
 */
internal class SensorClock(private val realtime: Boolean, private val bootAheadNs: Long = bootAheadNs()) {
    private var aheadNs: Long? = null

    /** The stamp on CLOCK_MONOTONIC, of a frame that came at [arrivedNs] of that clock. */
    fun monotonic(stampNs: Long, arrivedNs: Long): Long {
        val ahead = aheadNs ?: ahead(stampNs, arrivedNs).also { aheadNs = it }
        return stampNs - ahead
    }

    private fun ahead(stampNs: Long, arrivedNs: Long): Long {
        if (realtime) return bootAheadNs
        return listOf(0, bootAheadNs).firstOrNull { arrivedNs - (stampNs - it) in 0..LONGEST_WAY_NS } ?: 0
    }
}

/** How much CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: the time that the phone has slept. */
internal fun bootAheadNs(
    monotonic: () -> Long = System::nanoTime,
    boot: () -> Long = SystemClock::elapsedRealtimeNanos,
): Long = (1..LOOKS).map {
    val before = monotonic()
    val between = boot()
    val after = monotonic()
    (after - before) to between - (before + (after - before) / 2)
}.minByOrNull { it.first }!!.second
