package pocketgan.app.camera

import android.hardware.SyncFence
import android.os.Build
import android.os.Handler
import android.os.Looper
import android.view.Choreographer
import android.view.SurfaceControl
import android.view.SurfaceView
import java.io.Closeable
import java.lang.reflect.Method
import java.time.Duration
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import java.util.concurrent.RejectedExecutionException
import java.util.function.Consumer
import pocketgan.app.NewerThanAndroid8
import pocketgan.camera.DisplayTime
import pocketgan.camera.DisplayTimes

/** A display that does not show a picture in that time shows it never. */
private val LONGEST_FENCE = Duration.ofMillis(500)

/** How the system tells when a picture was on the screen. */
internal interface DisplayClock : Closeable {
    /** In one line for people. */
    val about: String

    /** Picture [number] is posted next. */
    fun posting(number: Int) = Unit

    /** It was posted at that time, which is before this call. */
    fun posted(number: Int, atNs: Long) = Unit

    override fun close() = Unit
}

/**
 * The best that this Android gives to pictures posted to [view]'s surface; [times] are told.
 *
 * `FrameMetrics` does not do: it ends when a frame of the view tree is handed over.
 */
internal fun displayClock(view: SurfaceView, times: DisplayTimes): DisplayClock = when {
    Build.VERSION.SDK_INT >= 35 -> PresentFences(view, times)
    Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU -> FrameTimelines(times)
    else -> HandOver(times)
}

/** Before Android 13: an estimate, the moment at which the picture was handed over. */
internal class HandOver(private val times: DisplayTimes) : DisplayClock {
    override val about = "display times estimated by the hand-over"

    override fun posted(number: Int, atNs: Long) = times.tell(number, DisplayTime(atNs, estimated = true))
}

/**
 * Android 13 and 14: an estimate, the system's forecast (`Choreographer.FrameTimeline`) of when a picture that is
 * handed over now will be on the screen. Whether it was, no app is told.
 */
internal class FrameTimelines(private val times: DisplayTimes) : DisplayClock {
    private val main = Handler(Looper.getMainLooper())

    /** Of the last vsync: deadlines, and when what meets them is presented. */
    @Volatile
    private var forecast = Forecast(LongArray(0), LongArray(0))

    @Volatile
    private var isClosed = false

    override val about = "display times estimated by the system's frame timeline"

    init {
        main.post { next() }
    }

    override fun posted(number: Int, atNs: Long) =
        times.tell(number, DisplayTime(forecast.presentation(atNs) ?: atNs, estimated = true))

    override fun close() {
        isClosed = true
    }

    @NewerThanAndroid8
    private fun next() {
        if (!isClosed) Choreographer.getInstance().postVsyncCallback(::vsync)
    }

    @NewerThanAndroid8
    private fun vsync(frame: Choreographer.FrameData) {
        val timelines = frame.frameTimelines
        forecast = Forecast(
            LongArray(timelines.size) { timelines[it].deadlineNanos },
            LongArray(timelines.size) { timelines[it].expectedPresentationTimeNanos },
        )
        next()
    }
}

/** The next frames of a display: what is posted by a deadline is presented at its time. */
internal class Forecast(private val deadlinesNs: LongArray, private val presentationsNs: LongArray) {
    /** When a picture that is posted at that time is on the screen; null beyond what is foreseen. */
    fun presentation(atNs: Long): Long? {
        val frame = deadlinesNs.indexOfFirst { it >= atNs }
        return if (frame < 0) null else presentationsNs[frame].takeIf { it >= atNs }
    }
}

/**
 * Android 15 and newer: the display's own fence, which signals when the picture is on the screen. A transaction that
 * rides with the picture's buffer brings it; pictures are posted one after the other, so that it is the right buffer.
 *
 * The two calls begin at API 35, the Android that this is compiled with is 34's: hence by name.
 */
internal class PresentFences(private val view: SurfaceView, private val times: DisplayTimes) : DisplayClock {
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "display") }
    private val addListener = listenerMethod()

    /** The system calls it from threads of its own, and after the last picture too. */
    private val later = Executor { task ->
        try {
            thread.execute(task)
        } catch (closed: RejectedExecutionException) {
            // Nobody asks any more.
        }
    }

    override val about = "display times by the display's fence"

    @NewerThanAndroid8
    override fun posting(number: Int) {
        val transaction = SurfaceControl.Transaction()
        addListener.invoke(transaction, later, Consumer<Any> { times.tell(number, presented(it)) })
        try {
            view.applyTransactionToFrame(transaction)
        } catch (gone: IllegalStateException) {
            times.tell(number, null)
        }
    }

    override fun close() = thread.shutdown()

    @NewerThanAndroid8
    private fun listenerMethod(): Method = SurfaceControl.Transaction::class.java
        .getMethod("addTransactionCompletedListener", Executor::class.java, Consumer::class.java)

    /** An empty fence, where the display has none, leaves the time at which the system took the picture: an estimate. */
    @NewerThanAndroid8
    private fun presented(stats: Any): DisplayTime? {
        val fence = stats.javaClass.getMethod("getPresentFence").invoke(stats) as SyncFence
        return fence.use {
            if (!it.isValid) {
                val latched = stats.javaClass.getMethod("getLatchTimeNanos").invoke(stats) as Long
                return DisplayTime(latched, estimated = true)
            }
            if (!it.await(LONGEST_FENCE)) return null
            it.signalTime.takeIf { time -> time > 0 && time != SyncFence.SIGNAL_TIME_PENDING }
                ?.let { time -> DisplayTime(time, estimated = false) }
        }
    }
}
