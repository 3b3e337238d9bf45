package pocketgan.app.camera

import android.app.Application
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Color
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.os.PowerManager
import android.util.Range
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.junit.After
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder
import pocketgan.camera.NewestFrame
import pocketgan.measure.RefusedException

private const val SECOND_NS = 1_000_000_000L

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PhoneCameraTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val manager = context.getSystemService(CameraManager::class.java)
    private val photo = Bitmap.createBitmap(32, 24, Bitmap.Config.ARGB_8888)
    private val screen = KeepingScreen()

    @After
    fun leave() {
        Stage.remove(screen)
        Stage.leave()
    }

    private fun addCamera(id: String, side: Int, vararg sizes: Pair<Int, Int>) {
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        val map = StreamConfigurationMapBuilder.newBuilder()
        for ((width, height) in sizes) map.addOutputSize(android.graphics.ImageFormat.YUV_420_888, android.util.Size(width, height))
        shadowOf(facts).apply {
            set(CameraCharacteristics.LENS_FACING, side)
            set(CameraCharacteristics.SENSOR_ORIENTATION, 90)
            set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, map.build())
            set(CameraCharacteristics.CONTROL_AE_AVAILABLE_TARGET_FPS_RANGES, arrayOf(Range(15, 30), Range(30, 30)))
            set(CameraCharacteristics.SENSOR_INFO_TIMESTAMP_SOURCE, CameraMetadata.SENSOR_INFO_TIMESTAMP_SOURCE_REALTIME)
        }
        shadowOf(manager).addCamera(id, facts)
    }

    private fun why(open: () -> Unit): String = assertFailsWith<RefusedException> { open() }.message!!

    private fun phone() = PhoneCamera(context, PhotoSource(photo), entranceNs = 0)

    @Test
    fun `the smallest size that needs no enlarging is taken, whichever way the phone is held`() {
        addCamera("0", CameraMetadata.LENS_FACING_BACK, 1920 to 1080, 640 to 480, 320 to 240, 352 to 288)
        addCamera("1", CameraMetadata.LENS_FACING_FRONT, 320 to 240)
        val choice = chooseCamera(manager, FrameRequest(256, 256))
        assertEquals(listOf("0", 352, 288), listOf(choice.id, choice.size.width, choice.size.height))
        assertEquals(1080, chooseCamera(manager, FrameRequest(512, 500)).size.height)
        assertEquals(1920, chooseCamera(manager, FrameRequest(4000, 4000)).size.width)
        assertEquals(Range(30, 30), choice.rate)
        assertTrue(choice.stampsAreRealtime)
        assertEquals("1", chooseCamera(manager, FrameRequest(256, 256, front = true)).id)
    }

    @Test
    fun `a phone without the side that is asked for gives its other camera, one without any says so`() {
        assertTrue("has no camera" in why { chooseCamera(manager, FrameRequest(8, 8)) })
        addCamera("7", CameraMetadata.LENS_FACING_FRONT, 320 to 240)
        val choice = chooseCamera(manager, FrameRequest(8, 8))
        assertEquals("7" to true, choice.id to choice.front)
    }

    @Test
    fun `permission refused says how it is granted`() {
        shadowOf(context).denyPermissions(android.Manifest.permission.CAMERA)
        val line = why { Camera2Source(context).open(FrameRequest(8, 8), NewestFrame()) }
        assertTrue("pm grant org.pocketgan.harness android.permission.CAMERA" in line)
        assertEquals(1, line.lines().size)
    }

    @Test
    fun `a camera that another app has is told from one that failed`() {
        assertTrue("another app has the camera" in whyFailed(CameraDevice.StateCallback.ERROR_CAMERA_IN_USE))
        assertTrue("switched off" in whyFailed(CameraDevice.StateCallback.ERROR_CAMERA_DISABLED))
        assertTrue("restart the phone" in whyFailed(CameraDevice.StateCallback.ERROR_CAMERA_SERVICE))
    }

    @Test
    fun `a screen that is off, or shows another app, is no screen to measure on`() {
        val power = shadowOf(context.getSystemService(Context.POWER_SERVICE) as PowerManager)
        power.turnScreenOn(false)
        assertTrue("the screen is off" in why { phone().open(8, 8) })
        power.turnScreenOn(true)
        assertTrue("am start -n org.pocketgan.harness/pocketgan.app.HarnessActivity" in why { phone().open(8, 8) })
        assertFalse(Stage.isWanted)
    }

    @Test
    fun `frames go from the camera to the screen, upright and in RGB`() {
        // Red above, blue below, 24 high: what is shown has red in its first row.
        for (y in 0 until 24) for (x in 0 until 32) photo.setPixel(x, y, if (y < 12) Color.RED else Color.BLUE)
        Stage.put(screen)
        val source = PhotoSource(photo)
        val picture = ByteArray(3 * 8 * 8)
        PhoneCamera(context, source, entranceNs = 0).open(8, 8).use { session ->
            assertTrue(Stage.isWanted)
            session.next(10 * SECOND_NS)!!.use {
                assertTrue(System.nanoTime() - it.captureNs in 0..10 * SECOND_NS)
                it.copyTo(picture)
            }
            session.show(0, picture, 8, 8)
            assertEquals(1, session.displayTimes(1).filterNotNull().size)
            assertEquals("photo; kept", session.about)
        }
        assertEquals(listOf(FrameRequest(8, 8)), source.requests)
        assertEquals(1, source.closed)
        assertFalse(Stage.isWanted)
        val (first, last) = screen.last!!.getPixel(4, 0) to screen.last!!.getPixel(4, 7)
        assertTrue(Color.red(first) > 250 && Color.blue(first) < 5, Integer.toHexString(first))
        assertTrue(Color.blue(last) > 250 && Color.red(last) < 5, Integer.toHexString(last))
    }

    @Test
    fun `a screen that goes away ends it`() {
        Stage.put(screen)
        phone().open(8, 8).use { session ->
            screen.isThere = false
            assertTrue("left the front" in why { session.show(0, ByteArray(3 * 8 * 8), 8, 8) })
        }
    }
}
