package pocketgan.app.camera

import android.content.Context
import android.graphics.Bitmap
import android.os.PowerManager
import pocketgan.camera.Camera
import pocketgan.camera.CameraFrame
import pocketgan.camera.CameraSession
import pocketgan.camera.DisplayTime
import pocketgan.camera.NewestFrame
import pocketgan.effects.YuvConversion
import pocketgan.measure.RefusedException

/** An activity looks once a second whether it is wanted; then its surface has to be made. */
private const val LONGEST_ENTRANCE_NS = 10_000_000_000L

/** Mode camera on a phone: the camera behind, and the screen of the app that is in front. */
internal class PhoneCamera(
    private val context: Context,
    private val source: FrameSource = Frames.source(context),
    private val entranceNs: Long = LONGEST_ENTRANCE_NS,
) : Camera {
    override fun open(width: Int, height: Int): CameraSession {
        if (!context.getSystemService(PowerManager::class.java).isInteractive) {
            throw RefusedException("the screen is off: wake and unlock the phone (adb shell input keyevent WAKEUP), and measure again")
        }
        val screen = Stage.enter(entranceNs) ?: throw RefusedException(
            "the app is not in front, so that its frames would not be seen: unlock the phone and open the app " +
                "(adb shell am start -n ${context.packageName}/pocketgan.app.HarnessActivity)",
        )
        val place = NewestFrame<SourceFrame>()
        try {
            return Session(screen, place, source.open(FrameRequest(width, height), place), YuvConversion(height, width))
        } catch (problem: Throwable) {
            // Whatever a maker's camera throws: the screen must not wait for pictures for ever.
            Stage.leave()
            throw problem
        }
    }

    private class Session(
        private val screen: PictureScreen,
        private val place: NewestFrame<SourceFrame>,
        private val camera: OpenCamera,
        private val conversion: YuvConversion,
    ) : CameraSession {
        private val showing = screen.begin()
        private var bitmap: Bitmap? = null
        private var colours = IntArray(0)

        override val about = "${camera.about}; ${showing.about}"
        override val dropped get() = place.dropped

        override fun next(timeoutNs: Long): CameraFrame? = place.take(timeoutNs)?.let(::UprightFrame)

        override fun show(number: Int, picture: ByteArray, width: Int, height: Int) {
            if (showing.show(number, pixels(picture, width, height))) return
            throw RefusedException("the app left the front or the screen went off: leave the phone alone while it measures")
        }

        override fun displayTimes(count: Int): List<DisplayTime?> = showing.displayTimes(count)

        override fun close() {
            place.close()
            camera.close()
            showing.close()
            Stage.leave()
        }

        private fun pixels(picture: ByteArray, width: Int, height: Int): Bitmap {
            val made = bitmap?.takeIf { it.width == width && it.height == height }
                ?: Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { bitmap = it }
            if (colours.size != width * height) colours = IntArray(width * height)
            var from = 0
            for (pixel in colours.indices) {
                val red = picture[from].toInt() and 0xff
                val green = picture[from + 1].toInt() and 0xff
                val blue = picture[from + 2].toInt() and 0xff
                colours[pixel] = (0xff shl 24) or (red shl 16) or (green shl 8) or blue
                from += 3
            }
            made.setPixels(colours, 0, width, 0, 0, width, height)
            return made
        }

        private inner class UprightFrame(private val frame: SourceFrame) : CameraFrame {
            override val captureNs get() = frame.captureNs

            override fun copyTo(picture: ByteArray) {
                val upright = Upright.of(camera.sensorDegrees, screen.degrees, camera.front)
                conversion.toBytes(frame.picture(upright), picture)
            }

            override fun close() = frame.close()
        }
    }
}
