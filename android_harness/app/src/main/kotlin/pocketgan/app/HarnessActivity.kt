package pocketgan.app

import android.app.Activity
import android.content.Intent
import android.content.pm.ActivityInfo
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.view.View
import android.view.WindowManager.LayoutParams
import android.widget.Button
import android.widget.TextView
import java.util.Locale
import org.pocketgan.harness.R
import pocketgan.app.camera.PictureView
import pocketgan.app.camera.Stage
import pocketgan.measure.NanoClock
import pocketgan.schema.Conditions

/** Drawn anew this often and no more: what the screen costs is part of what is measured. */
private const val REDRAW_MS = 1000L

/** Shows what the harness does, and keeps the screen on meanwhile. */
internal class HarnessActivity : Activity() {
    private val handler = Handler(Looper.getMainLooper())
    private val redraw = Runnable { drawAgain() }
    private lateinit var conditions: PhoneConditions

    // What replaces the flags begins at Android 8.1.
    @Suppress("DEPRECATION")
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        // Over the lock and with the screen on, from the start: a phone on a shelf is measured with nobody near.
        window.addFlags(
            LayoutParams.FLAG_KEEP_SCREEN_ON or LayoutParams.FLAG_TURN_SCREEN_ON or LayoutParams.FLAG_SHOW_WHEN_LOCKED,
        )
        sessionsFolder(this)
        conditions = PhoneConditions(this, NanoClock(System::nanoTime))
        setContentView(R.layout.harness)
        findViewById<PictureView>(R.id.picture).apply { whenThere = { if (it) Stage.put(this) else Stage.remove(this) } }
        findViewById<Button>(R.id.effect).setOnClickListener { startActivity(Intent(this, EffectActivity::class.java)) }
        findViewById<Button>(R.id.cancel).setOnClickListener {
            Harness.cancel()
            draw(Harness.doing)
        }
    }

    override fun onResume() {
        super.onResume()
        drawAgain()
    }

    override fun onPause() {
        handler.removeCallbacks(redraw)
        super.onPause()
    }

    private fun drawAgain() {
        draw(Harness.doing)
        handler.postDelayed(redraw, REDRAW_MS)
    }

    private fun draw(doing: Doing) {
        when (doing) {
            is Doing.Waiting -> show(R.string.waiting, getString(R.string.waiting_detail))
            is Doing.Measuring ->
                show(R.string.measuring, doing.detail.ifEmpty { doing.session }, "${doing.done}", getString(R.string.measuring_hint))
            is Doing.Cancelling -> show(R.string.cancelling, doing.session)
            is Doing.Ended ->
                if (doing.error == null) show(R.string.done, getString(R.string.done_detail, doing.session))
                else show(R.string.ended, "${doing.session}: ${doing.error}")
        }
        show(R.id.cancel, doing is Doing.Measuring)
        show(R.id.effect, doing is Doing.Waiting || doing is Doing.Ended)
        show(R.id.picture, Stage.isWanted)
        // A phone that is turned gets a new activity, and the measurement would lose its screen.
        val orientation = if (Stage.isWanted) ActivityInfo.SCREEN_ORIENTATION_LOCKED else ActivityInfo.SCREEN_ORIENTATION_UNSPECIFIED
        if (requestedOrientation != orientation) requestedOrientation = orientation
    }

    /** The phone's state is told in the [hint] where nothing else is, and nothing is measured. */
    private fun show(heading: Int, detail: String, done: String = "", hint: String? = null) {
        text(R.id.heading, getString(heading))
        text(R.id.detail, detail)
        text(R.id.done, done)
        text(R.id.hint, hint ?: stateOfPhone(conditions.read()))
    }

    private fun show(view: Int, isThere: Boolean) {
        findViewById<View>(view).visibility = if (isThere) View.VISIBLE else View.GONE
    }

    private fun text(view: Int, text: String) {
        findViewById<TextView>(view).text = text
        findViewById<TextView>(view).visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
    }

    private fun stateOfPhone(now: Conditions): String = listOfNotNull(
        now.thermalState?.let { getString(R.string.thermal, it.name.lowercase(Locale.ROOT)) },
        now.batteryPercent?.let { getString(R.string.battery, it) },
        getString(R.string.on_charger).takeIf { now.charging == true },
        getString(R.string.power_save).takeIf { now.powerSave == true },
    ).joinToString("\n")
}
