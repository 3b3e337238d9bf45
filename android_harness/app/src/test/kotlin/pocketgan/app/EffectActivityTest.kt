package pocketgan.app

import android.Manifest
import android.app.Application
import android.content.Context
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Rect
import android.net.Uri
import android.os.Looper
import android.os.PowerManager
import android.provider.Settings
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import java.io.File
import java.time.Duration
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.After
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.runner.RunWith
import org.pocketgan.harness.R
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowAlertDialog
import pocketgan.app.camera.Camera2Source
import pocketgan.app.camera.Frames
import pocketgan.app.camera.FrameRequest
import pocketgan.app.camera.KeepingScreen
import pocketgan.app.camera.PhotoSource

private const val LONGEST_MS = 30_000L
private const val PHONE = "w411dp-h891dp-xhdpi"
private const val LYING_PHONE_BY_NIGHT = "w891dp-h411dp-land-night-xhdpi"

@RunWith(RobolectricTestRunner::class)
@Config(qualifiers = PHONE, shadows = [ForecastingPowerManager::class])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class EffectActivityTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val screen = KeepingScreen()
    private val controller = Robolectric.buildActivity(EffectActivity::class.java)
    private val activity get() = controller.get()
    private val main = shadowOf(Looper.getMainLooper())

    @Before
    fun inject() {
        shadowOf(context).grantPermissions(Manifest.permission.CAMERA)
        EffectActivity.screen = { screen }
        Frames.source = { PhotoSource(Bitmap.createBitmap(8, 8, Bitmap.Config.ARGB_8888)) }
    }

    @After
    fun leave() {
        controller.pause().stop().destroy()
        EffectActivity.screen = { it }
        Frames.source = ::Camera2Source
        Harness.end("", null)
    }

    private fun text(view: Int): String = activity.findViewById<TextView>(view).text.toString()

    private fun isShown(view: Int) = activity.findViewById<View>(view).visibility == View.VISIBLE

    private fun waitFor(what: () -> Boolean) {
        val limit = System.currentTimeMillis() + LONGEST_MS
        while (!what() && System.currentTimeMillis() < limit) {
            Thread.sleep(20)
            main.idle()
        }
        assertTrue(what(), text(R.id.message) + text(R.id.entry))
    }

    /** A bundle that the exporter wrote, and a photo, which pytest names (tests/android_harness/test_camera.py). */
    private fun property(name: String): File {
        val path = System.getProperty(name)
        assumeTrue("no $name was made", path != null)
        return File(path!!)
    }

    private fun folder() = File(context.getExternalFilesDir(null), "bundles").apply { mkdirs() }

    private fun choose(item: Int) {
        activity.findViewById<Button>(R.id.choose).performClick()
        main.idle()
        shadowOf(ShadowAlertDialog.getLatestAlertDialog()).clickOnItem(item)
        main.idle()
    }

    @Test
    fun `without a bundle it says where bundles go`() {
        controller.setup()
        assertEquals("No bundle yet", text(R.id.title))
        assertTrue(!isShown(R.id.concept))
        assertTrue("adb push x.pgb ${folder()}/" in text(R.id.message))
        assertTrue(!isShown(R.id.overlay))
    }

    @Test
    fun `bundles of the app's folder can be chosen, and files through the system's picker`() {
        for (name in listOf("b.pgb", "a.pgb", "notes.txt")) File(folder(), name).writeText("")
        controller.setup()
        activity.findViewById<Button>(R.id.choose).performClick()
        main.idle()
        val items = shadowOf(ShadowAlertDialog.getLatestAlertDialog()).items.toList()
        assertEquals(listOf<CharSequence>("a", "b", "Open a file…"), items)
        shadowOf(ShadowAlertDialog.getLatestAlertDialog()).clickOnItem(2)
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, shadowOf(activity).nextStartedActivity.action)
    }

    @Test
    fun `a file that is no bundle says why`() {
        File(folder(), "a.pgb").writeText("no bundle")
        controller.setup()
        choose(0)
        waitFor { "a.pgb" in text(R.id.message) && "Opening" !in text(R.id.message) }
        assertEquals("No bundle yet", text(R.id.title))
    }

    @Test
    fun `permission refused says what the camera is for, and leads to where it is allowed`() {
        shadowOf(context).denyPermissions(Manifest.permission.CAMERA)
        controller.setup()
        assertTrue("Allow the camera" in text(R.id.message))
        assertTrue(Manifest.permission.CAMERA in shadowOf(activity).lastRequestedPermission.requestedPermissions)
        activity.findViewById<View>(R.id.message).performClick()
        val started = generateSequence { shadowOf(activity).nextStartedActivity }
        val settings = started.single { it.action == Settings.ACTION_APPLICATION_DETAILS_SETTINGS }
        assertEquals(Uri.parse("package:org.pocketgan.harness"), settings.data)
    }

    @Test
    fun `a session that is measured has the phone for itself`() {
        Harness.begin("s")
        controller.setup()
        assertTrue("being measured" in text(R.id.message))
    }

    @Test
    fun `effect runs on the camera upright by day`() = mustShow("effect-light.png")

    @Test
    @Config(qualifiers = LYING_PHONE_BY_NIGHT)
    fun `effect runs on the camera of a phone that lies across by night`() = mustShow("effect-dark-lying.png", display = 90)

    @Test
    fun `pack offers its effects, and goes on with the one that was chosen`() {
        property("pack").copyTo(File(folder(), "pack.pgb"), overwrite = true)
        controller.setup()
        choose(0)
        waitFor { screen.shown > 0 && isShown(R.id.concept) }
        assertEquals("Effect: negative", text(R.id.concept))
        activity.findViewById<Button>(R.id.concept).performClick()
        main.idle()
        val offered = shadowOf(ShadowAlertDialog.getLatestAlertDialog())
        assertEquals(listOf<CharSequence>("the negative", "as it is", "softer"), offered.items.toList())
        offered.clickOnItem(1)
        waitFor { text(R.id.concept) == "Effect: same" }
        val before = screen.shown
        waitFor { screen.shown > before }
        // What the camera sees is black.
        assertEquals(Color.BLACK, screen.last!!.getPixel(4, 4))
        controller.recreate()
        waitFor { isShown(R.id.concept) }
        assertEquals("Effect: same", text(R.id.concept))
    }

    private fun mustShow(screenshot: String, display: Int = 0) {
        val photo = BitmapFactory.decodeFile("${property("photo")}")
        property("effect").copyTo(File(folder(), "pencil.pgb"), overwrite = true)
        val screen = KeepingScreen(display)
        EffectActivity.screen = { screen }
        // A sensor lies across in a phone that stands: in one that lies it is upright.
        val source = PhotoSource(photo, sensorDegrees = 90, seenDegrees = 90 - display, everyMs = 33)
        Frames.source = { source }
        shadowOf(context.getSystemService(Context.POWER_SERVICE) as PowerManager)
            .setCurrentThermalStatus(PowerManager.THERMAL_STATUS_LIGHT)
        ForecastingPowerManager.headroom = 0.42f
        controller.setup()
        choose(0)
        waitFor { screen.shown > 20 }
        main.idleFor(Duration.ofSeconds(1))
        save(screenshot, screen.last!!)
        assertEquals("pencil", text(R.id.title))
        assertTrue("onnx-fp32" in text(R.id.entry))
        assertTrue(text(R.id.rate).toDouble() > 0)
        assertTrue(text(R.id.dropped).toInt() >= 0)
        assertEquals(listOf("fair", "0.42"), listOf(R.id.thermal, R.id.headroom).map(::text))
        assertEquals(listOf(FrameRequest(256, 256, front = false)), source.requests)
        activity.findViewById<Button>(R.id.side).performClick()
        waitFor { source.requests.size == 2 && source.closed == 1 }
        assertEquals(true, source.requests[1].front)
        controller.pause()
        waitFor { source.closed == 2 }
        assertNull(activity.lastNonConfigurationInstance)
    }

    /** As a phone composes it: the surface's picture in its place, behind what the window draws over it. */
    private fun save(name: String, picture: Bitmap) {
        val folder = File(System.getProperty("screenshots") ?: return).apply { mkdirs() }
        val window = activity.window.decorView
        val made = Bitmap.createBitmap(window.width, window.height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(made)
        window.draw(canvas)
        val place = Rect(0, 0, activity.findViewById<View>(R.id.picture).width, activity.findViewById<View>(R.id.picture).height)
        (window as ViewGroup).offsetDescendantRectToMyCoords(activity.findViewById(R.id.picture), place)
        canvas.drawBitmap(picture, null, place, android.graphics.Paint(android.graphics.Paint.FILTER_BITMAP_FLAG))
        val overlay = activity.findViewById<View>(R.id.overlay)
        canvas.translate(place.left.toFloat(), (place.bottom - overlay.height).toFloat())
        overlay.draw(canvas)
        File(folder, name).outputStream().use { made.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }
}
