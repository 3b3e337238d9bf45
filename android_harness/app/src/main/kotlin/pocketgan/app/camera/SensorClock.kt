package pocketgan.app.camera

import android.os.SystemClock

/** Looks at both clocks; the one that was disturbed least counts. */
private const val LOOKS = 9

/**
 * How much a sensor's stamps are ahead of CLOCK_MONOTONIC, which frames are measured with, in nanoseconds.
 *
 * Android: stamps of source REALTIME are of `SystemClock.elapsedRealtimeNanos`, which goes on while the phone sleeps;
 * of source UNKNOWN they are roughly of `SystemClock.uptimeMillis`, which is CLOCK_MONOTONIC. It is taken anew whenever
 * a camera is opened: a phone whose screen is on does not sleep.
 */
internal fun sensorAheadNs(
    realtime: Boolean,
    monotonic: () -> Long = System::nanoTime,
    boot: () -> Long = SystemClock::elapsedRealtimeNanos,
): Long {
    if (!realtime) return 0
    return (1..LOOKS).map {
        val before = monotonic()
        val between = boot()
        val after = monotonic()
        (after - before) to between - (before + (after - before) / 2)
    }.minByOrNull { it.first }!!.second
}
