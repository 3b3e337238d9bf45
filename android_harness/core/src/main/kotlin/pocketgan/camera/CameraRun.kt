package pocketgan.camera

import pocketgan.measure.NanoClock
import pocketgan.measure.RefusedException
import pocketgan.schema.Frame

/** A camera that gives nothing for so long has stopped: the slowest in the dark give five frames a second. */
private const val LONGEST_WAIT_NS = 5_000_000_000L

/** A stamp that lies further back is of another clock: cameras hand a frame over within some tenths of a second. */
private const val OLDEST_STAMP_NS = 2_000_000_000L

/**
 * Frames from the sensor to the screen, one after the other: the newest frame of the camera, the model, the screen.
 * What comes meanwhile is replaced by what comes after it, and counted (bench/schema/conformance/camera.json).
 */
internal class CameraRun(
    private val pictures: LivePictures,
    private val session: CameraSession,
    private val clock: NanoClock,
) {
    private var shown = 0

    /** One frame that does not count, for the warm-up; how long it took without the wait for it. */
    fun warmUpFrame(): Long = next().use { camera ->
        val frame = pictures.frame(camera, started(camera))
        show()
        frame.preNs + frame.inferenceNs + frame.postNs
    }

    /**
     * Frames that begin within [durationNs] after the first one.
     *
     * @param each is called after every frame with the nanoseconds since the first one began.
     * @param frames gets the frames, with the times at which they were on the screen once all are done.
     * @return how many of the camera's frames were dropped meanwhile.
     * @throws RefusedException camera or screen went away; [frames] holds what was measured before, without these times.
     */
    fun measure(durationNs: Long, frames: MutableList<Frame>, each: (Long) -> Unit): Long {
        val firstShown = shown
        var began: Long? = null
        var droppedBefore = session.dropped
        var dropped = 0L
        while (true) {
            val frame = next().use { camera ->
                val started = started(camera)
                if (began == null) droppedBefore = session.dropped
                val first = began ?: started.also { began = it }
                if (started - first > durationNs) null else pictures.frame(camera, started)
            } ?: break
            show()
            frames += frame
            each(clock.now() - began!!)
            dropped = session.dropped - droppedBefore
        }
        val times = session.displayTimes(shown).drop(firstShown)
        for ((number, time) in lastOnTop(times).withIndex()) {
            if (time == null) continue
            frames[number] = frames[number].copy(displayNs = time.atNs, displayEstimated = time.estimated)
        }
        return dropped
    }

    private fun next(): CameraFrame = session.next(LONGEST_WAIT_NS)
        ?: throw RefusedException("the camera gave no frame for 5 s: close other apps that use it, or restart the phone")

    private fun started(camera: CameraFrame): Long {
        val now = clock.now()
        if (now - camera.captureNs in 0..OLDEST_STAMP_NS) return now
        val apart = (now - camera.captureNs) / 1_000_000
        throw RefusedException(
            "the camera's stamps are of another clock ($apart ms before its frame came): this camera cannot be measured",
        )
    }

    private fun show() = session.show(shown++, pictures.made, pictures.madeWidth, pictures.madeHeight)
}

/** Of pictures that reached the screen at one time only the last one was seen. */
internal fun lastOnTop(times: List<DisplayTime?>): List<DisplayTime?> {
    var next = Long.MAX_VALUE
    return times.asReversed().map { time ->
        time?.takeIf { it.atNs < next }?.also { next = it.atNs }
    }.asReversed()
}
