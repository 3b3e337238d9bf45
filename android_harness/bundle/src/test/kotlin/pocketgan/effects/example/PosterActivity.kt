package pocketgan.effects.example

import android.app.Activity
import android.graphics.BitmapFactory
import android.os.Bundle
import android.util.Log
import android.widget.ImageView
import java.util.concurrent.Executors
import pocketgan.effects.BundleSource
import pocketgan.effects.EffectException
import pocketgan.effects.EffectOptions
import pocketgan.effects.Effects
import pocketgan.onnxruntime.OnnxRuntimeEngine

/** The README's example: what follows is that block, line by line. Tests set the key. */
internal var PUBLIC_KEY = ""

class PosterActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        val view = ImageView(this).also(::setContentView)
        worker.execute {
            try {
                val effects = Effects(this, listOf(OnnxRuntimeEngine()), EffectOptions(PUBLIC_KEY))
                effects.open("poster", BundleSource.asset(this, "poster.pgb"), concept = "ink").use { effect ->
                    val photo = BitmapFactory.decodeStream(assets.open("photo.bmp"))
                    val poster = effect.run(photo)
                    runOnUiThread { view.setImageBitmap(poster) }
                }
            } catch (problem: EffectException) {
                Log.e("poster", "${problem.message}")
            }
        }
    }
}
