package pocketgan.app.camera

import android.graphics.Bitmap
import java.util.concurrent.atomic.AtomicReference
import pocketgan.app.STACK_BYTES
import pocketgan.camera.NewestFrame
import pocketgan.effects.Effect
import pocketgan.effects.EffectException
import pocketgan.measure.NanoClock
import pocketgan.measure.RefusedException

/** Frames of so long make the rate that is shown. */
private const val WINDOW_NS = 1_000_000_000L
private const val LONGEST_WAIT_NS = 5_000_000_000L

/** What a person sees of a run. */
internal data class EffectState(val perSecond: Double?, val shown: Int, val dropped: Long, val problem: String? = null)

/** An effect on the camera, shown on the screen, on a thread of its own from here until [stop]. */
internal class EffectRun(
    private val effect: Effect,
    private val source: FrameSource,
    private val screen: PictureScreen,
    private val front: Boolean,
    private val clock: NanoClock = NanoClock(System::nanoTime),
) {
    private val place = NewestFrame<SourceFrame>()
    private val rate = FrameRate()
    private val thread = Thread(null, ::work, "effect", STACK_BYTES)
    private var before: Thread? = null

    @Volatile
    private var isStopped = false

    @Volatile
    private var shown = 0

    @Volatile
    private var problem: String? = null

    /** Where the camera that opened looks; null before. */
    @Volatile
    var isFront: Boolean? = null
        private set

    val state get() = EffectState(rate.perSecond(clock.now()), shown, place.dropped, problem)

    fun start() {
        before = LAST.getAndSet(thread)
        thread.start()
    }

    /** Ends it after the frame that is under way, which is not waited for: a slow model takes seconds. */
    fun stop() {
        isStopped = true
        place.fail("stopped")
    }

    private fun work() {
        try {
            // The camera is there for one.
            before?.join()
            if (isStopped) return
            val request = FrameRequest(effect.inputWidth, effect.inputHeight, front)
            source.open(request, place).use { camera ->
                isFront = camera.front
                place.use { screen.begin().use { showing -> show(camera, showing) } }
            }
        } catch (refused: RefusedException) {
            tell(refused)
        } catch (failed: EffectException) {
            tell(failed)
        }
    }

    /** Nobody asks why what was stopped has ended. */
    private fun tell(failure: Exception) {
        if (!isStopped) problem = failure.message
    }

    private fun show(camera: OpenCamera, showing: Showing) {
        val made = Bitmap.createBitmap(effect.outputWidth, effect.outputHeight, Bitmap.Config.ARGB_8888)
        while (!isStopped) {
            val frame = place.take(LONGEST_WAIT_NS) ?: throw RefusedException("the camera gave no frame for 5 s")
            frame.use {
                effect.run(it.picture(Upright.of(camera.sensorDegrees, screen.degrees, camera.front)), made)
            }
            // Without a surface, between two of them, nobody sees it.
            if (!showing.show(shown, made)) continue
            rate.frame(clock.now())
            shown += 1
        }
    }

    private companion object {
        /** The run before, of whatever activity. */
        val LAST = AtomicReference<Thread?>()
    }
}

/** Frames a second over the last one, from two threads. */
internal class FrameRate {
    private val times = ArrayDeque<Long>()

    /** A frame was shown. */
    @Synchronized
    fun frame(atNs: Long) {
        times += atNs
        forget(atNs)
    }

    /** Null with fewer than two frames in the last second. */
    @Synchronized
    fun perSecond(nowNs: Long): Double? {
        forget(nowNs)
        if (times.size < 2) return null
        return (times.size - 1) * 1e9 / (times.last() - times.first())
    }

    private fun forget(nowNs: Long) {
        while (times.isNotEmpty() && nowNs - times.first() > WINDOW_NS) times.removeFirst()
    }
}
