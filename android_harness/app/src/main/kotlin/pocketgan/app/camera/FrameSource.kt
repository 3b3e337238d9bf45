package pocketgan.app.camera

import android.content.Context
import java.io.Closeable
import pocketgan.camera.NewestFrame
import pocketgan.effects.YuvFrame
import pocketgan.measure.RefusedException

/** What a camera is asked for: pictures of at least [width] x [height], of the side that [front] names. */
internal data class FrameRequest(val width: Int, val height: Int, val front: Boolean = false)

/** Where camera frames come from: the phone's camera, or a test. */
internal fun interface FrameSource {
    /**
     * Open a camera whose frames, and whose failure after this call, go to [place].
     *
     * @throws RefusedException there is none, or it may not be used; one line that says what to do.
     */
    fun open(request: FrameRequest, place: NewestFrame<SourceFrame>): OpenCamera
}

/** Where the app's frames come from; tests have no camera, and bring their own. */
internal object Frames {
    @Volatile
    var source: (Context) -> FrameSource = ::Camera2Source
}

/** A camera that gives frames until it is closed; whoever took one closes it before. */
internal interface OpenCamera : Closeable {
    val front: Boolean

    /** By how many degrees the sensor is built in (`SENSOR_ORIENTATION`). */
    val sensorDegrees: Int

    /** What it was asked for, in one line for people. */
    val about: String
}

/** One frame as the sensor sees it. */
internal interface SourceFrame : Closeable {
    /** When its exposure began, in nanoseconds of CLOCK_MONOTONIC. */
    val captureNs: Long

    /** Its planes, which are there until it is closed. */
    fun picture(upright: Upright): YuvFrame
}

/** Which way is up in a camera's frames: turn them clockwise by [degrees], then swap left and right if [mirrored]. */
internal data class Upright(val degrees: Int, val mirrored: Boolean) {
    companion object {
        /**
         * Of a sensor that is built in turned by [sensor] degrees, while the display is turned by [display] degrees
         * from the phone's natural position. Who looks into the front camera sees a mirror.
         */
        fun of(sensor: Int, display: Int, front: Boolean) =
            Upright(Math.floorMod(if (front) sensor + display else sensor - display, 360), front)
    }
}
