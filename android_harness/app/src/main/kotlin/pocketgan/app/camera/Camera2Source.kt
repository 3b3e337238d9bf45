package pocketgan.app.camera

import android.Manifest
import android.content.Context
import android.content.pm.PackageManager
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import pocketgan.camera.NewestFrame
import pocketgan.effects.YuvFrame
import pocketgan.measure.RefusedException

/** One in work, one waiting, one that comes, and one to spare. */
private const val IMAGES = 4

private const val BUSY = "another app has the camera: close it, or end the call, and measure again"

/** The phone's cameras, through Camera2. */
internal class Camera2Source(private val context: Context) : FrameSource {
    override fun open(request: FrameRequest, place: NewestFrame<SourceFrame>): OpenCamera {
        if (context.checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            throw RefusedException(
                "the app may not use the camera: allow it on the phone, or " +
                    "adb shell pm grant ${context.packageName} ${Manifest.permission.CAMERA}",
            )
        }
        val manager = context.getSystemService(CameraManager::class.java)
        return try {
            val choice = chooseCamera(manager, request)
            RunningCamera(choice, place).also { it.start(manager) }
        } catch (problem: CameraAccessException) {
            throw RefusedException(whyNot(problem), problem)
        } catch (problem: SecurityException) {
            throw RefusedException("the camera is refused to this app: ${problem.message}", problem)
        } catch (problem: IllegalArgumentException) {
            throw RefusedException("the camera was unplugged while it was opened: measure again", problem)
        }
    }
}

private fun whyNot(problem: CameraAccessException): String = when (problem.reason) {
    CameraAccessException.CAMERA_IN_USE, CameraAccessException.MAX_CAMERAS_IN_USE -> BUSY
    CameraAccessException.CAMERA_DISABLED ->
        "the phone's owner or its administrator has switched cameras off: switch them on (quick settings, Camera access)"
    else -> "the camera does not answer (${problem.message}): restart the phone"
}

/** What `CameraDevice.StateCallback.onError` tells. */
internal fun whyFailed(code: Int): String = when (code) {
    CameraDevice.StateCallback.ERROR_CAMERA_IN_USE, CameraDevice.StateCallback.ERROR_MAX_CAMERAS_IN_USE -> BUSY
    CameraDevice.StateCallback.ERROR_CAMERA_DISABLED ->
        "the camera is switched off: unlock the phone, keep the app in front, and allow cameras in the quick settings"
    else -> "the camera failed (error $code): restart the phone"
}

/** One camera on a thread of its own; what goes wrong there is told to those who wait for frames. */
private class RunningCamera(private val choice: CameraChoice, private val place: NewestFrame<SourceFrame>) : OpenCamera {
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val clock = SensorClock(choice.stampsAreRealtime)
    private val reader =
        ImageReader.newInstance(choice.size.width, choice.size.height, ImageFormat.YUV_420_888, IMAGES)
    private var device: CameraDevice? = null
    private var isClosed = false

    override val front get() = choice.front
    override val sensorDegrees get() = choice.sensorDegrees
    override val about = choice.run {
        val rates = if (rate.lower == rate.upper) "${rate.upper}" else "${rate.lower} to ${rate.upper}"
        "camera $id (${if (front) "front" else "back"}), $size at $rates frames a second, " +
            "stamps of a clock that is ${if (stampsAreRealtime) "known" else "not known for sure"}"
    }

    /** @throws CameraAccessException it cannot be opened; it is closed then. */
    fun start(manager: CameraManager) {
        try {
            reader.setOnImageAvailableListener({ take() }, handler)
            manager.openCamera(choice.id, Opening(), handler)
        } catch (problem: Exception) {
            close()
            throw problem
        }
    }

    /** On its own thread, so that no frame comes meanwhile. */
    override fun close() {
        handler.post {
            isClosed = true
            device?.close()
            reader.close()
            thread.quitSafely()
        }
        thread.join()
    }

    private fun take() = guarded {
        if (isClosed) return@guarded
        // Not acquireLatestImage: it closes frames that nobody counts.
        val image = reader.acquireNextImage() ?: return@guarded
        place.put(ImageFrame(image, clock.monotonic(image.timestamp, System.nanoTime())))
    }

    /** A camera that is taken away throws wherever it is touched. */
    private inline fun guarded(work: () -> Unit) {
        try {
            work()
        } catch (problem: CameraAccessException) {
            place.fail(whyNot(problem))
        } catch (problem: IllegalStateException) {
            place.fail("the camera was taken away (${problem.message}): close other apps that use it, and measure again")
        } catch (problem: IllegalArgumentException) {
            place.fail("the camera does not take what it offers (${problem.message}): it cannot be measured")
        }
    }

    private inner class Opening : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) = guarded {
            if (isClosed) return@guarded camera.close()
            device = camera
            configure(camera)
        }

        override fun onDisconnected(camera: CameraDevice) {
            camera.close()
            place.fail("the camera was taken away: keep the app in front with the screen on, and close other apps that use it")
        }

        override fun onError(camera: CameraDevice, error: Int) {
            camera.close()
            place.fail(whyFailed(error))
        }

        // What replaces it begins at Android 9.
        @Suppress("DEPRECATION")
        private fun configure(camera: CameraDevice) = camera.createCaptureSession(listOf(reader.surface), Running(camera), handler)
    }

    private inner class Running(private val camera: CameraDevice) : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) = guarded {
            if (isClosed) return@guarded
            val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_RECORD)
            request.addTarget(reader.surface)
            request[CaptureRequest.CONTROL_AE_TARGET_FPS_RANGE] = choice.rate
            // It holds frames back to look ahead.
            request[CaptureRequest.CONTROL_VIDEO_STABILIZATION_MODE] = CameraMetadata.CONTROL_VIDEO_STABILIZATION_MODE_OFF
            session.setRepeatingRequest(request.build(), null, handler)
        }

        override fun onConfigureFailed(session: CameraCaptureSession) =
            place.fail("camera ${choice.id} does not give ${choice.size} at ${choice.rate}: it cannot be measured")
    }
}

private class ImageFrame(private val image: Image, override val captureNs: Long) : SourceFrame {
    override fun picture(upright: Upright) = YuvFrame.of(image, upright.degrees, upright.mirrored)

    override fun close() = image.close()
}
