package pocketgan.app.camera

import android.graphics.Bitmap
import android.graphics.Color
import java.nio.ByteBuffer
import kotlin.math.roundToInt
import pocketgan.camera.NewestFrame
import pocketgan.effects.YuvFrame

/**
 * A camera that sees one picture. Its sensor is built in turned by [sensorDegrees], and by [seenDegrees] against what is
 * up as the phone is held.
 */
internal class PhotoSource(
    private val photo: Bitmap,
    private val sensorDegrees: Int = 90,
    private val seenDegrees: Int = sensorDegrees,
    private val everyMs: Long = 5,
) : FrameSource {
    val requests = ArrayList<FrameRequest>()

    @Volatile
    var closed = 0

    override fun open(request: FrameRequest, place: NewestFrame<SourceFrame>): OpenCamera {
        requests += request
        return Running(request.front, place)
    }

    private inner class Running(override val front: Boolean, place: NewestFrame<SourceFrame>) : OpenCamera {
        override val sensorDegrees = this@PhotoSource.sensorDegrees
        override val about = "photo"
        private val planes = planesOf(photo, seenDegrees)
        private val thread = Thread {
            try {
                while (true) {
                    place.put(PhotoFrame(planes, System.nanoTime()))
                    Thread.sleep(everyMs)
                }
            } catch (ended: InterruptedException) {
                // Closed.
            }
        }.apply { start() }

        override fun close() {
            thread.interrupt()
            thread.join()
            closed += 1
        }
    }
}

internal class Planes(val width: Int, val height: Int, val planes: List<YuvFrame.Plane>)

private class PhotoFrame(private val planes: Planes, override val captureNs: Long) : SourceFrame {
    override fun picture(upright: Upright) =
        YuvFrame(planes.width, planes.height, planes.planes, upright.degrees, upright.mirrored)

    override fun close() = Unit
}

/** The picture as a sensor sees it that must be turned clockwise by [degrees], in JFIF's YUV (ITU-T T.871, 7). */
internal fun planesOf(photo: Bitmap, degrees: Int): Planes {
    val turned = degrees % 180 != 0
    val (width, height) = if (turned) photo.height to photo.width else photo.width to photo.height
    val at = { x: Int, y: Int ->
        when (degrees) {
            90 -> photo.getPixel(photo.width - 1 - y, x)
            180 -> photo.getPixel(photo.width - 1 - x, photo.height - 1 - y)
            270 -> photo.getPixel(y, photo.height - 1 - x)
            else -> photo.getPixel(x, y)
        }
    }
    val (columns, rows) = (width + 1) / 2 to (height + 1) / 2
    val luma = ByteBuffer.allocateDirect(width * height)
    val blue = ByteBuffer.allocateDirect(columns * rows)
    val red = ByteBuffer.allocateDirect(columns * rows)
    for (y in 0 until height) {
        for (x in 0 until width) {
            val colour = at(x, y)
            val (r, g, b) = Triple(Color.red(colour), Color.green(colour), Color.blue(colour))
            val bright = 0.299 * r + 0.587 * g + 0.114 * b
            luma.put(y * width + x, bright.roundToInt().toByte())
            if (x % 2 == 0 && y % 2 == 0) {
                val to = y / 2 * columns + x / 2
                blue.put(to, (128 + (b - bright) / 1.772).roundToInt().coerceIn(0, 255).toByte())
                red.put(to, (128 + (r - bright) / 1.402).roundToInt().coerceIn(0, 255).toByte())
            }
        }
    }
    val strides = listOf(luma to width, blue to columns, red to columns)
    return Planes(width, height, strides.map { (plane, stride) -> YuvFrame.Plane(plane, stride, 1) })
}

/** A screen that keeps the last picture. */
internal class KeepingScreen(override val degrees: Int = 0) : PictureScreen {
    @Volatile
    var last: Bitmap? = null

    @Volatile
    var shown = 0

    @Volatile
    var isThere = true

    override fun begin(): Showing = object : Showing {
        private val times = pocketgan.camera.DisplayTimes()
        override val about = "kept"

        override fun show(number: Int, picture: Bitmap): Boolean {
            if (!isThere) return false
            last = picture.copy(Bitmap.Config.ARGB_8888, false)
            shown += 1
            times.tell(number, pocketgan.camera.DisplayTime(System.nanoTime(), estimated = true))
            return true
        }

        override fun displayTimes(count: Int) = times.await(count, 0)

        override fun close() = Unit
    }
}
